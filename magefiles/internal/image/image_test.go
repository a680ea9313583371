package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// manager returns an image with a binary that is newly written.
func manager(t *testing.T, content string) v1.Image {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "manager")
	if err := os.WriteFile(binary, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	img, err := Assemble(Spec{
		Arch: "arm64", Entrypoint: []string{"/manager"}, User: "65532", WorkDir: "/work", Env: []string{"A=b"}, StopSignal: "SIGRTMIN+3",
		Files: []File{
			{Path: "/manager", Source: binary, Mode: 0o755},
			{Path: "/etc/ssl/certs/ca.crt", Data: []byte("ca"), Mode: 0o644},
			{Path: "/tmp", Dir: true, Mode: 0o777 | os.ModeSticky},
			{Path: "/usr/sbin/iptables", Link: "xtables"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestSameFilesSameDigest(t *testing.T) {
	t.Parallel()
	digest := func(content string) v1.Hash {
		d, err := manager(t, content).Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if first, second := digest("one"), digest("one"); first != second {
		t.Error("the same binary gives two digests")
	}
	if digest("one") == digest("two") {
		t.Error("two binaries give one digest")
	}
}

// TestArchiveIsWhatWasAssembled reads the archive as `docker load` would.
func TestArchiveIsWhatWasAssembled(t *testing.T) {
	t.Parallel()
	const ref = "example.com/k8s/manager:v1.14.2"
	path := filepath.Join(t.TempDir(), "archive.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Archive(f, map[string]v1.Image{ref: manager(t, "content")}), f.Close()); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(path, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config
	if config.Architecture != "arm64" || config.OS != "linux" || c.Entrypoint[0] != "/manager" || c.User != "65532" || c.WorkingDir != "/work" || c.Env[0] != "A=b" || c.StopSignal != "SIGRTMIN+3" {
		t.Errorf("configuration %+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v; want 1", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(strings.Join([]string{h.FileInfo().Mode().String(), h.Name, h.Linkname + string(data)}, " ")))
	}
	want := []string{
		"drwxr-xr-x etc/", "drwxr-xr-x etc/ssl/", "drwxr-xr-x etc/ssl/certs/", "-rw-r--r-- etc/ssl/certs/ca.crt ca",
		"-rwxr-xr-x manager content", "dtrwxrwxrwx tmp/",
		"drwxr-xr-x usr/", "drwxr-xr-x usr/sbin/", "Lrwxrwxrwx usr/sbin/iptables xtables",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the layer holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	if _, err := Layer([]File{{Path: "relative"}}); err == nil {
		t.Error("a relative path was accepted")
	}
	if _, err := Layer([]File{{Path: "/x", Source: "/no/such/file"}}); err == nil {
		t.Error("a file that is not there was accepted")
	}
	if err := Archive(io.Discard, map[string]v1.Image{"NOT A REF": nil}); err == nil || !strings.Contains(err.Error(), "NOT A REF") {
		t.Errorf("Archive() of a bad reference = %v", err)
	}
}
