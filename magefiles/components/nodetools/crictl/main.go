// Command crictl answers the few verbs of its namesake that kind and the
// Docker provider of Cluster API run in a node: ps, images and inspecti. It
// exists because the module of the real one is not published.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	socket  = "unix:///run/containerd/containerd.sock"
	timeout = 10 * time.Second
)

const usage = "this crictl knows `ps`, `images` and `inspecti IMAGE`; for anything else use `ctr -n k8s.io`"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := execute(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crictl:", err)
		os.Exit(1)
	}
}

func execute(ctx context.Context, out io.Writer, args []string) (err error) {
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", socket, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	switch {
	case len(args) == 1 && args[0] == "ps":
		return ps(ctx, out, cri.NewRuntimeServiceClient(conn))
	case len(args) == 1 && args[0] == "images":
		return images(ctx, out, cri.NewImageServiceClient(conn))
	case len(args) == 2 && args[0] == "inspecti":
		return inspect(ctx, out, cri.NewImageServiceClient(conn), args[1])
	}
	return errors.New(usage)
}

func ps(ctx context.Context, out io.Writer, runtime cri.RuntimeServiceClient) error {
	running := &cri.ContainerFilter{State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}}
	list, err := runtime.ListContainers(ctx, &cri.ListContainersRequest{Filter: running})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "CONTAINER\tIMAGE\tNAME\tPOD ID")
	for _, c := range list.Containers {
		fmt.Fprintf(w, "%.13s\t%s\t%s\t%.13s\n", c.Id, c.Image.GetImage(), c.Metadata.GetName(), c.PodSandboxId)
	}
	return w.Flush()
}

func images(ctx context.Context, out io.Writer, service cri.ImageServiceClient) error {
	list, err := service.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tIMAGE ID\tSIZE")
	for _, image := range list.Images {
		fmt.Fprintf(w, "%s\t%.13s\t%d\n", strings.Join(image.RepoTags, ","), strings.TrimPrefix(image.Id, "sha256:"), image.Size)
	}
	return w.Flush()
}

// inspect prints what kind reads of an image: its ID and its tags.
func inspect(ctx context.Context, out io.Writer, service cri.ImageServiceClient, ref string) error {
	status, err := service.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	if err != nil {
		return fmt.Errorf("inspect image %q: %w", ref, err)
	}
	if status.Image == nil {
		return fmt.Errorf("no such image %q present", ref)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"status": map[string]any{
		"id": status.Image.Id, "repoTags": status.Image.RepoTags, "repoDigests": status.Image.RepoDigests,
	}})
}
