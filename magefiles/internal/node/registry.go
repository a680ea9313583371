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

// nodeDigests pins kindest/node by the version of Kubernetes: the newest image
// of each version in test/infrastructure/kind/mapper.go at Cluster API v1.14.2
// and v1.12.11. These have no image of v1.37 and none before v1.19. v1.37.0 is
// from pkg/apis/config/defaults/image.go at kind v0.33.0, v1.18.19 from kind's
// release notes v0.11.1, and v1.18.20 and v1.17.17 from those of v0.12.0. For
// other versions, such as v1.37.2, v1.33.13 or v1.17.2, upstream publishes no
// digest, and the image is pulled by its tag.
var nodeDigests = map[string]string{
	"v1.37.0":  "sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
	"v1.36.4":  "sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
	"v1.36.1":  "sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
	"v1.35.8":  "sha256:07b2536e30b803ed61d1677a79df6115f798ce64c80f9e22f6ed45afd09323c0",
	"v1.35.5":  "sha256:ce977ae6d65918d0b58a5f8b5e940429c2ce42fa3a5619ec2bbc60b949c0ac95",
	"v1.35.0":  "sha256:452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f",
	"v1.34.11": "sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
	"v1.34.8":  "sha256:02722c2dedddcfc00febf5d27fbeb9b7b2c14294c82109ff4a85d89ac9ba3256",
	"v1.34.3":  "sha256:08497ee19eace7b4b5348db5c6a1591d7752b164530a36f855cb0f2bdcbadd48",
	"v1.34.0":  "sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a",
	"v1.33.12": "sha256:3f5c8443c620245e4d355cfe09e96a91ead32ceaa569d3f1ca9edf0cb2fe2ff4",
	"v1.33.7":  "sha256:d26ef333bdb2cbe9862a0f7c3803ecc7b4303d8cea8e814b481b09949d353040",
	"v1.33.4":  "sha256:25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2",
	"v1.33.1":  "sha256:050072256b9a903bd914c0b2866828150cb229cea0efe5892e2b644d5dd3b34f",
	"v1.33.0":  "sha256:02f73d6ae3f11ad5d543f16736a2cb2a63a300ad60e81dac22099b0b04784a4e",
	"v1.32.11": "sha256:5fc52d52a7b9574015299724bd68f183702956aa4a2116ae75a63cb574b35af8",
	"v1.32.8":  "sha256:abd489f042d2b644e2d033f5c2d900bc707798d075e8186cb65e3f1367a9d5a1",
	"v1.32.5":  "sha256:e3b2327e3a5ab8c76f5ece68936e4cafaa82edf58486b769727ab0b3b97a5b0d",
	"v1.32.2":  "sha256:f226345927d7e348497136874b6d207e0b32cc52154ad8323129352923a3142f",
	"v1.32.0":  "sha256:c48c62eac5da28cdadcf560d1d8616cfa6783b58f0d94cf63ad1bf49600cb027",
	"v1.31.14": "sha256:6f86cf509dbb42767b6e79debc3f2c32e4ee01386f0489b3b2be24b0a55aac2b",
	"v1.31.12": "sha256:0f5cc49c5e73c0c2bb6e2df56e7df189240d83cf94edfa30946482eb08ec57d2",
	"v1.31.9":  "sha256:b94a3a6c06198d17f59cca8c6f486236fa05e2fb359cbd75dabbfc348a10b211",
	"v1.31.6":  "sha256:28b7cbb993dfe093c76641a0c95807637213c9109b761f1d422c2400e22b8e87",
	"v1.31.4":  "sha256:2cb39f7295fe7eafee0842b1052a599a4fb0f8bcf3f83d96c7f4864c357c6c30",
	"v1.31.2":  "sha256:18fbefc20a7113353c7b75b5c869d7145a6abd6269154825872dc59c1329912e",
	"v1.31.0":  "sha256:53df588e04085fd41ae12de0c3fe4c72f7013bba32a20e7325357a1ac94ba865",
	"v1.30.13": "sha256:397209b3d947d154f6641f2d0ce8d473732bd91c87d9575ade99049aa33cd648",
	"v1.30.10": "sha256:4de75d0e82481ea846c0ed1de86328d821c1e6a6a91ac37bf804e5313670e507",
	"v1.30.8":  "sha256:17cd608b3971338d9180b00776cb766c50d0a0b6b904ab4ff52fd3fc5c6369bf",
	"v1.30.6":  "sha256:b6d08db72079ba5ae1f4a88a09025c0a904af3b52387643c285442afb05ab994",
	"v1.30.4":  "sha256:976ea815844d5fa93be213437e3ff5754cd599b040946b5cca43ca45c2047114",
	"v1.30.3":  "sha256:bf91e1ef2f7d92bb7734b2b896b3dddea98f0496b34d96e37dd5d7df331b7e56",
	"v1.30.0":  "sha256:047357ac0cfea04663786a612ba1eaba9702bef25227a794b52890dd8bcd692e",
	"v1.29.14": "sha256:8703bd94ee24e51b778d5556ae310c6c0fa67d761fae6379c8e0bb480e6fea29",
	"v1.29.12": "sha256:62c0672ba99a4afd7396512848d6fc382906b8f33349ae68fb1dbfe549f70dec",
	"v1.29.10": "sha256:3b2d8c31753e6c8069d4fc4517264cd20e86fd36220671fb7d0a5855103aa84b",
	"v1.29.8":  "sha256:d46b7aa29567e93b27f7531d258c372e829d7224b25e3fc6ffdefed12476d3aa",
	"v1.29.7":  "sha256:f70ab5d833fca132a100c1f95490be25d76188b053f49a3c0047ff8812360baf",
	"v1.29.4":  "sha256:3abb816a5b1061fb15c6e9e60856ec40d56b7b52bcea5f5f1350bc6e2320b6f8",
	"v1.29.2":  "sha256:51a1434a5397193442f0be2a297b488b6c919ce8a3931be0ce822606ea5ca245",
	"v1.29.1":  "sha256:0c06baa545c3bb3fbd4828eb49b8b805f6788e18ce67bff34706ffa91866558b",
	"v1.29.0":  "sha256:eaa1450915475849a73a9227b8f201df25e55e268e5d619312131292e324d570",
	"v1.28.15": "sha256:a7c05c7ae043a0b8c818f5a06188bc2c4098f6cb59ca7d1856df00375d839251",
	"v1.28.13": "sha256:45d319897776e11167e4698f6b14938eb4d52eb381d9e3d7a9086c16c69a8110",
	"v1.28.12": "sha256:fa0e48b1e83bb8688a5724aa7eebffbd6337abd7909ad089a2700bf08c30c6ea",
	"v1.28.9":  "sha256:dca54bc6a6079dd34699d53d7d4ffa2e853e46a20cd12d619a09207e35300bd0",
	"v1.28.7":  "sha256:9bc6c451a289cf96ad0bbaf33d416901de6fd632415b076ab05f5fa7e4f65c58",
	"v1.28.6":  "sha256:e9e59d321795595d0eed0de48ef9fbda50388dc8bd4a9b23fb9bd869f370ec7e",
	"v1.28.0":  "sha256:b7a4cad12c197af3ba43202d3efe03246b3f0793f162afb40a33c923952d5b31",
	"v1.27.16": "sha256:2d21a61643eafc439905e18705b8186f3296384750a835ad7a005dceb9546d20",
	"v1.27.13": "sha256:17439fa5b32290e3ead39ead1250dca1d822d94a10d26f1981756cd51b24b9d8",
	"v1.27.11": "sha256:681253009e68069b8e01aad36a1e0fa8cf18bb0ab3e5c4069b2e65cafdd70843",
	"v1.27.10": "sha256:e6b2f72f22a4de7b957cd5541e519a8bef3bae7261dd30c6df34cd9bdd3f8476",
	"v1.27.3":  "sha256:3966ac761ae0136263ffdb6cfd4db23ef8a83cba8a463690e98317add2c9ba72",
	"v1.27.1":  "sha256:b7d12ed662b873bd8510879c1846e87c7e676a79fefc93e17b2a52989d3ff42b",
	"v1.27.0":  "sha256:c6b22e613523b1af67d4bc8a0c38a4c3ea3a2b8fbc5b367ae36345c9cb844518",
	"v1.26.15": "sha256:c79602a44b4056d7e48dc20f7504350f1e87530fe953428b792def00bc1076dd",
	"v1.26.14": "sha256:5d548739ddef37b9318c70cb977f57bf3e5015e4552be4e27e57280a8cbb8e4f",
	"v1.26.13": "sha256:8cb4239d64ff897e0c21ad19fe1d68c3422d4f3c1c1a734b7ab9ccc76c549605",
	"v1.26.6":  "sha256:6e2d8b28a5b601defe327b98bd1c2d1930b49e5d8c512e1895099e4504007adb",
	"v1.26.4":  "sha256:f4c0d87be03d6bea69f5e5dc0adb678bb498a190ee5c38422bf751541cebe92e",
	"v1.26.3":  "sha256:61b92f38dff6ccc29969e7aa154d34e38b89443af1a2c14e6cfbd2df6419c66f",
	"v1.26.0":  "sha256:691e24bd2417609db7e589e1a479b902d2e209892a10ce375fab60a8407c7352",
	"v1.25.16": "sha256:6110314339b3b44d10da7d27881849a87e092124afab5956f2e10ecdb463b025",
	"v1.25.11": "sha256:227fa11ce74ea76a0474eeefb84cb75d8dad1b08638371ecf0e86259b35be0c8",
	"v1.25.9":  "sha256:c08d6c52820aa42e533b70bce0c2901183326d86dcdcbedecc9343681db45161",
	"v1.25.8":  "sha256:00d3f5314cc35327706776e95b2f8e504198ce59ac545d0200a89e69fce10b7f",
	"v1.25.3":  "sha256:f52781bc0d7a19fb6c405c2af83abfeb311f130707a0e219175677e366cc45d1",
	"v1.24.17": "sha256:bad10f9b98d54586cba05a7eaa1b61c6b90bfc4ee174fdc43a7b75ca75c95e51",
	"v1.24.15": "sha256:7db4f8bea3e14b82d12e044e25e34bd53754b7f2b0e9d56df21774e6f66a70ab",
	"v1.24.13": "sha256:cea86276e698af043af20143f4bf0509e730ec34ed3b7fa790cc0bea091bc5dd",
	"v1.24.12": "sha256:1e12918b8bc3d4253bc08f640a231bb0d3b2c5a9b28aa3f2ca1aee93e1e8db16",
	"v1.24.7":  "sha256:577c630ce8e509131eab1aea12c022190978dd2f745aac5eb1fe65c0807eb315",
	"v1.23.17": "sha256:14d0a9a892b943866d7e6be119a06871291c517d279aedb816a4b4bc0ec0a5b3",
	"v1.23.13": "sha256:ef453bb7c79f0e3caba88d2067d4196f427794086a7d0df8df4f019d5e336b61",
	"v1.22.17": "sha256:f5b2e5698c6c9d6d0adc419c0deae21a425c07d81bbf3b6a6834042f25d4fba2",
	"v1.22.15": "sha256:7d9708c4b0873f0fe2e171e2b1b7f45ae89482617778c1c875f1053d4cef2e41",
	"v1.21.14": "sha256:8a4e9bb3f415d2bb81629ce33ef9c76ba514c14d707f9797a01e3216376ba093",
	"v1.20.15": "sha256:a32bf55309294120616886b5338f95dd98a2f7231519c7dedcec32ba29699394",
	"v1.19.16": "sha256:476cb3269232888437b61deca013832fee41f9f074f9bed79f57e4280f7c48b7",
	"v1.18.20": "sha256:e3dca5e16116d11363e31639640042a9b1bd2c90f85717a7fc66be34089a8169",
	"v1.18.19": "sha256:7af1492e19b3192a79f606e43c35fb741e520d195f96399284515f077b3b622c",
	"v1.17.17": "sha256:e477ee64df5731aa4ef4deabbafc34e8d9a686b49178f726563598344a3898d5",
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
		there := o.has
		if pull.from == pull.as { // the name is upstream's, and others may pull it anew
			there = func(ctx context.Context, ref string) (bool, error) {
				_, ok, err := o.Engine.ImageID(ctx, ref)
				return ok, err
			}
		}
		if ok, err := there(ctx, pull.as); err != nil {
			return Images{}, err
		} else if ok {
			continue
		}
		if err := o.pull(ctx, pull.from, pull.as); err != nil {
			return Images{}, err
		}
	}
	return images, o.keep(ctx, images.Node)
}

// pull brings the image from into the engine and names it as.
func (o Options) pull(ctx context.Context, from, as string) error {
	// The user of kind may have pulled it already.
	if strings.Contains(from, "@") && o.Engine.Tag(ctx, from, as) == nil {
		return nil
	}
	o.progress("pulling %s", from)
	img, err := remoteImage(ctx, o, from)
	if err != nil {
		return fmt.Errorf("pull %s: %w", from, err)
	}
	if err := o.Engine.LoadImages(ctx, map[string]v1.Image{as: img}); err != nil {
		return fmt.Errorf("pull %s: %w", from, err)
	}
	return nil
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
