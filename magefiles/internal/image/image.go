// Package image assembles container images from files, without a Dockerfile
// and without a daemon. The same files give the same digest on every machine.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of every file and image. With the real time, each image would have a
// different digest.
var epoch = time.Unix(0, 0).UTC()

// File is one entry of a layer.
type File struct {
	// Path is the absolute path in the image.
	Path string
	// Source is a file of this machine. If it is empty, Data is the content.
	Source string
	Data   []byte
	// Link, if not empty, makes the entry a symbolic link to that path.
	Link string
	// Dir makes the entry a folder.
	Dir bool
	// Mode has the permission bits, and the sticky bit as os.ModeSticky.
	Mode os.FileMode
	// UID and GID own the entry.
	UID, GID int
}

// Spec is an image to assemble.
type Spec struct {
	// Arch is the architecture as Go names it, such as amd64; the system is Linux.
	Arch string
	// Layers are the image's layers, in order; Files are one more layer on top.
	Layers []v1.Layer
	Files  []File
	// The rest is as in a Dockerfile.
	Entrypoint, Env           []string
	User, WorkDir, StopSignal string
}

// Assemble returns the image that spec describes.
func Assemble(spec Spec) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	layers := slices.Clone(spec.Layers)
	if len(spec.Files) > 0 {
		layer, err := Layer(spec.Files)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	image, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", spec.Arch
	file.Created = v1.Time{Time: epoch}
	file.Config.Entrypoint, file.Config.Env = spec.Entrypoint, spec.Env
	file.Config.User, file.Config.WorkingDir, file.Config.StopSignal = spec.User, spec.WorkDir, spec.StopSignal
	image, err = mutate.ConfigFile(image, file)
	if err != nil {
		return nil, fmt.Errorf("write the image's configuration: %w", err)
	}
	return image, nil
}

// Program returns the specification of an image that runs one static program. In
// the image are the program at path, the certificate authorities of ca, and a
// folder for temporary files. An empty user means root.
func Program(arch, path, source, user string, ca File) Spec {
	return Spec{
		Arch: arch, Entrypoint: []string{path}, WorkDir: "/", User: user,
		Files: []File{
			{Path: path, Source: source, Mode: 0o755},
			ca,
			{Path: "/tmp", Dir: true, Mode: 0o777 | os.ModeSticky},
		},
	}
}

// Manager returns the image of a manager of Cluster API. It runs the file binary as user.
// commands has further programs: by their paths in the image, their files on this machine.
func Manager(arch, binary, user string, commands map[string]string) (v1.Image, error) {
	ca, err := CACertificates()
	if err != nil {
		return nil, err
	}
	spec := Program(arch, "/manager", binary, user, ca)
	for path, source := range commands {
		spec.Files = append(spec.Files, File{Path: path, Source: source, Mode: 0o755})
		spec.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	manager, err := Assemble(spec)
	if err != nil {
		return nil, fmt.Errorf("assemble the image of %s: %w", binary, err)
	}
	return manager, nil
}

// Layer returns a layer that has the files, in the order of their paths, and the
// folders above them. Contents are not stored in memory: they are read whenever the
// layer is.
func Layer(files []File) (v1.Layer, error) {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		if !path.IsAbs(f.Path) {
			return nil, fmt.Errorf("file %q of an image: want an absolute path", f.Path)
		}
	}
	return TarLayer(func() (io.ReadCloser, error) {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(writeTar(writer, files)) }()
		return reader, nil
	})
}

// TarLayer returns a layer with the content of a tar archive. open must return the
// same archive each time. The layer stays uncompressed, because the engine is
// local.
func TarLayer(open func() (io.ReadCloser, error)) (v1.Layer, error) {
	digest, size, err := measure(open)
	if err != nil {
		return nil, fmt.Errorf("read a layer: %w", err)
	}
	return &layer{open: open, digest: digest, size: size}, nil
}

func measure(open func() (io.ReadCloser, error)) (v1.Hash, int64, error) {
	r, err := open()
	if err != nil {
		return v1.Hash{}, 0, err
	}
	h := sha256.New()
	size, err := io.Copy(h, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return v1.Hash{}, 0, err
	}
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, size, nil
}

// layer is an uncompressed v1.Layer. Its digest is also its diff ID.
type layer struct {
	open   func() (io.ReadCloser, error)
	digest v1.Hash
	size   int64
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return l.open() }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return l.open() }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.DockerUncompressedLayer, nil }

func writeTar(w io.Writer, files []File) error {
	archive := tar.NewWriter(w)
	seen := map[string]bool{"": true, "/": true}
	for _, f := range files {
		if err := writeParents(archive, path.Dir(f.Path), seen); err != nil {
			return err
		}
		if err := writeEntry(archive, f); err != nil {
			return fmt.Errorf("add %s: %w", f.Path, err)
		}
		seen[f.Path] = f.Dir
	}
	return archive.Close()
}

func writeParents(archive *tar.Writer, dir string, seen map[string]bool) error {
	if seen[dir] {
		return nil
	}
	if err := writeParents(archive, path.Dir(dir), seen); err != nil {
		return err
	}
	seen[dir] = true
	return writeEntry(archive, File{Path: dir, Dir: true, Mode: 0o755})
}

func writeEntry(archive *tar.Writer, f File) (err error) {
	header := &tar.Header{
		Name:    strings.TrimPrefix(f.Path, "/"),
		Mode:    int64(f.Mode.Perm()),
		Uid:     f.UID,
		Gid:     f.GID,
		ModTime: epoch,
		Format:  tar.FormatPAX,
	}
	if f.Mode&os.ModeSticky != 0 {
		header.Mode |= 0o1000
	}
	var content io.Reader
	switch {
	case f.Dir:
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
	case f.Link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.Link, 0o777
	case f.Source != "":
		source, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }()
		info, err := source.Stat()
		if err != nil {
			return err
		}
		header.Typeflag, header.Size, content = tar.TypeReg, info.Size(), source
	default:
		header.Typeflag, header.Size, content = tar.TypeReg, int64(len(f.Data)), bytes.NewReader(f.Data)
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if content == nil {
		return nil
	}
	_, err = io.Copy(archive, content)
	return err
}

// Archive writes the images, by their references, as `docker load` and `ctr
// images import` read them.
func Archive(w io.Writer, images map[string]v1.Image) error {
	tagged := make(map[name.Reference]v1.Image, len(images))
	for ref, img := range images {
		tag, err := name.NewTag(ref)
		if err != nil {
			return fmt.Errorf("image %q: %w", ref, err)
		}
		tagged[tag] = img
	}
	if err := tarball.MultiRefWrite(tagged, w); err != nil {
		return fmt.Errorf("write the images' archive: %w", err)
	}
	return nil
}

// CACertificates returns this machine's bundle of certificate authorities, as a
// file for an image that has no Linux distribution.
func CACertificates() (File, error) {
	candidates := []string{
		os.Getenv("SSL_CERT_FILE"),
		"/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
		"/etc/ssl/ca-bundle.pem",             // openSUSE
		"/etc/ssl/cert.pem",                  // macOS
	}
	for _, path := range candidates {
		if data, err := os.ReadFile(path); err == nil {
			return File{Path: "/etc/ssl/certs/ca-certificates.crt", Data: data, Mode: 0o644}, nil
		}
	}
	return File{}, errors.New("no bundle of certificate authorities on this machine; on Debian: apt-get install ca-certificates, or set SSL_CERT_FILE")
}
