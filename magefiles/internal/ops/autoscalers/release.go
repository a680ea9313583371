package autoscalers

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
)

// The release of an autoscaler is recorded when it starts, because the settings of a
// later command may name another one.

// releaseAnnotation is on the lab's Deployment.
const releaseAnnotation = "caslab.local/autoscaler-release"

// releaseFile has the release of the autoscaler that ran on this machine last,
// beside its log.
func (a *Autoscalers) releaseFile(c *target.Cluster) string {
	return strings.TrimSuffix(a.AutoscalerLog(c.UID), ".log") + "-release.json"
}

func (a *Autoscalers) recordRelease(c *target.Cluster) error {
	if err := state.WriteJSON(a.releaseFile(c), component.AutoscalerRelease(a.Config).String()); err != nil {
		return fmt.Errorf("record the autoscaler's release: %w", err)
	}
	return nil
}

// recordedRelease returns the release of the autoscaler that ran on this machine
// last; nil if it is not known.
func (a *Autoscalers) recordedRelease(c *target.Cluster) (*version.Version, error) {
	var text string
	if _, err := state.ReadJSON(a.releaseFile(c), &text); err != nil {
		return nil, fmt.Errorf("read the autoscaler's release: %w", err)
	}
	return parseRelease(text), nil
}

// annotateRelease records the release on the lab's Deployment.
func (a *Autoscalers) annotateRelease(ctx context.Context, c *target.Cluster) error {
	return c.Workload.Patch(ctx, kube.Deployments, c.Namespace, autoscaler.Name, map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{releaseAnnotation: component.AutoscalerRelease(a.Config).String()}},
	})
}

// releaseOf returns the release that a Deployment runs: the one that the lab
// recorded, or else the tag of its image; nil if neither is a release.
func releaseOf(deployment *unstructured.Unstructured) *version.Version {
	if text := deployment.GetAnnotations()[releaseAnnotation]; text != "" {
		return parseRelease(text)
	}
	image, _, _ := strings.Cut(kube.FirstImage(deployment), "@") // a tag may precede the digest
	tag, err := name.NewTag(image, name.WithDefaultTag(""))
	if err != nil {
		return nil
	}
	return parseRelease(tag.TagStr())
}

// parseRelease returns nil for a text that is not a release.
func parseRelease(text string) *version.Version {
	v, err := version.NewSemver(strings.TrimPrefix(text, "v"))
	if err != nil {
		return nil
	}
	return v
}

// Release names the release of the autoscaler that runs on the cluster, or that
// ran there from this machine last; empty if it is not known.
func (a *Autoscalers) Release(ctx context.Context, c *target.Cluster) (string, error) {
	runs, err := a.Running(ctx, c)
	if err != nil {
		return "", err
	}
	v := runs.Release
	if runs.Text == "" {
		if v, err = a.recordedRelease(c); err != nil {
			return "", err
		}
	}
	if v == nil {
		return "", nil
	}
	return release.Name(v), nil
}
