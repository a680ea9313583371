package kube

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// DevicesGroup is the API group of devices that pods claim.
const DevicesGroup = "resource.k8s.io"

// Kinds of resource.k8s.io, the API of devices that pods claim.
var (
	DeviceClasses  = schema.GroupKind{Group: DevicesGroup, Kind: "DeviceClass"}
	ClaimTemplates = schema.GroupKind{Group: DevicesGroup, Kind: "ResourceClaimTemplate"}
	ResourceClaims = schema.GroupKind{Group: DevicesGroup, Kind: "ResourceClaim"}
	ResourceSlices = schema.GroupKind{Group: DevicesGroup, Kind: "ResourceSlice"}
)

// DevicesVersion is the version in which the lab uses that API. Kubernetes serves it since v1.34.
const DevicesVersion = "v1"

// CheckDevices returns an error unless the API server serves a kind of resource.k8s.io in
// DevicesVersion.
func (c *Client) CheckDevices(ctx context.Context, kind schema.GroupKind) error {
	served, err := c.Serves(ctx, kind, DevicesVersion)
	if err != nil {
		return fmt.Errorf("look for the kind %s: %w", kind.Kind, err)
	}
	if !served {
		return errors.New("the cluster does not serve resource.k8s.io/v1, the API of devices that pods claim; Kubernetes has it since v1.34")
	}
	return nil
}
