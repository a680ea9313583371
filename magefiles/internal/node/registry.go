package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// answerWithin is how long a registry may take for its first answer.
const answerWithin = 5 * time.Second

// nodeDigests pins kindest/node by the version of Kubernetes. The digests are those
// of test/infrastructure/kind/mapper.go at Cluster API v1.14.2, which are those of
// kind's release notes.
var nodeDigests = map[string]string{
	"v1.36.4":  "sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
	"v1.36.1":  "sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
	"v1.35.8":  "sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0",
	"v1.35.5":  "sha256:ce977ae6d65918d0b58a5f8b5e940429c2ce42fa3a5619ec2bbc60b949c0ac95",
	"v1.34.11": "sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
	"v1.34.8":  "sha256:02722c2dedddcfc00febf5d27fbeb9b7b2c14294c82109ff4a85d89ac9ba3256",
	"v1.33.12": "sha256:3f5c8443c620245e4d355cfe09e96a91ead32ceaa569d3f1ca9edf0cb2fe2ff4",
	"v1.32.11": "sha256:5fc52d52a7b9574015299724bd68f183702956aa4a2116ae75a63cb574b35af8",
	"v1.31.14": "sha256:6f86cf509dbb42767b6e79debc3f2c32e4ee01386f0489b3b2be24b0a55aac2b",
}

// fromRegistry pulls both images. The engine does not pull them, because a mirror
// would need a change of its configuration.
func fromRegistry(ctx context.Context, o Options) (Images, error) {
	node, as := "kindest/node:"+o.Kubernetes, fmt.Sprintf("%s/node-pulled:%s-%s", repository, o.Kubernetes, o.Arch)
	if digest, ok := nodeDigests[o.Kubernetes]; ok {
		node = "kindest/node@" + digest
		// The digest is part of the image's name.
		as += "-" + strings.TrimPrefix(digest, "sha256:")[:12]
	} else {
		o.progress("no digest of kindest/node:%s is pinned here: taking the registry's image with this tag", o.Kubernetes)
	}
	images := Images{
		Node:         as,
		LoadBalancer: o.LoadBalancer,
		Origin:       Registry,
		Why:          "a registry has it",
	}
	for _, pull := range []struct{ from, as string }{
		{node, images.Node},
		{images.LoadBalancer.Image(), images.LoadBalancer.Image()},
	} {
		if _, ok, err := o.Engine.ImageID(ctx, pull.as); err != nil {
			return Images{}, err
		} else if ok {
			continue
		}
		// The user of kind may have pulled it already.
		if strings.Contains(pull.from, "@") && o.Engine.Tag(ctx, pull.from, pull.as) == nil {
			continue
		}
		o.progress("pulling %s", pull.from)
		img, err := remoteImage(ctx, o, pull.from)
		if err != nil {
			return Images{}, fmt.Errorf("pull %s: %w", pull.from, err)
		}
		if err := o.Engine.LoadImages(ctx, map[string]v1.Image{pull.as: img}); err != nil {
			return Images{}, fmt.Errorf("pull %s: %w", pull.from, err)
		}
	}
	return images, nil
}

// remoteImage returns the image of ref for the engine's architecture. Its layers
// are downloaded when they are read.
func remoteImage(ctx context.Context, o Options, ref string) (v1.Image, error) {
	parsed, err := o.reference(ref)
	if err != nil {
		return nil, err
	}
	if err := answers(ctx, parsed.Context().Registry); err != nil {
		return nil, err
	}
	// The credentials are those of `docker login`.
	return remote.Image(parsed, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: o.Arch}))
}

// reference parses ref. If there is a mirror, it replaces the registry.
func (o Options) reference(ref string) (name.Reference, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil || o.Mirror == "" {
		return parsed, err
	}
	mirror, err := name.NewRegistry(o.Mirror)
	if err != nil {
		return nil, fmt.Errorf("registry mirror %q: %w", o.Mirror, err)
	}
	return onMirror(parsed, mirror)
}

func onMirror(ref name.Reference, mirror name.Registry) (name.Reference, error) {
	repo := mirror.Repo(ref.Context().RepositoryStr())
	if digest, ok := ref.(name.Digest); ok {
		return repo.Digest(digest.DigestStr()), nil
	}
	if tag, ok := ref.(name.Tag); ok {
		return repo.Tag(tag.TagStr()), nil
	}
	return nil, errors.New("neither a tag nor a digest")
}

// answers checks that the registry answers. It gives up after answerWithin, because a
// firewall may drop packets.
func answers(ctx context.Context, registry name.Registry) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, registry.Scheme()+"://"+registry.RegistryStr()+"/v2/", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// RegistryAnswers checks that the registry of the node image answers.
func RegistryAnswers(ctx context.Context, o Options) error {
	ref, err := o.reference("kindest/node:" + o.Kubernetes)
	if err != nil {
		return err
	}
	return answers(ctx, ref.Context().Registry)
}
