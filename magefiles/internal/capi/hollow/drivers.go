package hollow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/list"
)

// DeviceDriver is a driver of devices that pods get through ResourceClaims.
type DeviceDriver struct {
	// Name is the name of the driver, and of the DeviceClass for its devices.
	Name    string `json:"name"`
	Devices int32  `json:"devices"`
	// Late is set if the devices come Lifecycle.LateAfter after the node is Ready.
	Late bool `json:"late,omitempty"`
}

// VolumeDriver is a CSI driver.
type VolumeDriver struct {
	Name string `json:"name"`
	// Volumes is the highest number of volumes on a node. 0 means no limit.
	Volumes int32 `json:"volumes,omitempty"`
}

// none is the value of an option that removes what a group has.
const none = "none"

// Bounds of the drivers. The CustomResourceDefinition has the same bounds.
const (
	maxDrivers = 8
	maxDevices = 128 // the limit of a ResourceSlice
	maxVolumes = 1 << 20
)

// parseDrivers reads a.example.com=4,b.example.com=1, with numbers from lowest to highest, or
// none.
func parseDrivers(text string, lowest, highest int) ([]list.Number, error) {
	drivers, err := list.Numbers(unlessNone(text), lowest, highest)
	if err != nil {
		return nil, err
	}
	if len(drivers) > maxDrivers {
		return nil, fmt.Errorf("want at most %d drivers", maxDrivers)
	}
	for _, d := range drivers {
		problems := validation.IsDNS1123Subdomain(d.Name)
		if len(d.Name) > validation.DNS1123LabelMaxLength {
			problems = append(problems, validation.MaxLenError(validation.DNS1123LabelMaxLength))
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("%q: want the name of a driver: %s", d.Name, strings.Join(problems, "; "))
		}
	}
	return drivers, nil
}

// setDeviceDrivers replaces the drivers of devices. A driver whose devices came late keeps that.
func (s *Spec) setDeviceDrivers(text string) error {
	drivers, err := parseDrivers(text, 1, maxDevices)
	if err != nil {
		return err
	}
	before := s.Node.DeviceDrivers
	s.Node.DeviceDrivers = nil
	for _, d := range drivers {
		late := slices.ContainsFunc(before, func(b DeviceDriver) bool { return b.Name == d.Name && b.Late })
		s.Node.DeviceDrivers = append(s.Node.DeviceDrivers, DeviceDriver{Name: d.Name, Devices: int32(d.Value), Late: late})
	}
	return nil
}

// setVolumeDrivers replaces the CSI drivers.
func (s *Spec) setVolumeDrivers(text string) error {
	drivers, err := parseDrivers(text, 0, maxVolumes)
	if err != nil {
		return err
	}
	s.Node.VolumeDrivers = nil
	for _, d := range drivers {
		s.Node.VolumeDrivers = append(s.Node.VolumeDrivers, VolumeDriver{Name: d.Name, Volumes: int32(d.Value)})
	}
	return nil
}

func (s Spec) deviceDrivers() string {
	var parts []string
	for _, d := range s.Node.DeviceDrivers {
		parts = append(parts, fmt.Sprintf("%s=%d", d.Name, d.Devices))
	}
	return strings.Join(parts, ",")
}

func (s Spec) volumeDrivers() string {
	var parts []string
	for _, d := range s.Node.VolumeDrivers {
		parts = append(parts, fmt.Sprintf("%s=%d", d.Name, d.Volumes))
	}
	return strings.Join(parts, ",")
}

// Drivers returns the drivers of a node, as the options read them. It returns an empty text if
// there are none.
func (s Spec) Drivers() string {
	var parts []string
	for _, option := range [][2]string{{"dra", s.deviceDrivers()}, {"csi", s.volumeDrivers()}} {
		if option[1] != "" {
			parts = append(parts, option[0]+"="+option[1])
		}
	}
	return strings.Join(parts, " ")
}

// OwnLabel is on the objects that the lab adds to a cluster for hollow machines, and removes with
// them.
const OwnLabel = "caslab.local/hollow"

// CheckDevices returns an error if the nodes have drivers of devices, and the cluster of the nodes
// does not serve the API of devices.
func (s Spec) CheckDevices(ctx context.Context, c *kube.Client) error {
	if len(s.Node.DeviceDrivers) == 0 {
		return nil
	}
	if err := c.CheckDevices(ctx, kube.DeviceClasses); err != nil {
		return fmt.Errorf("-dra: %w", err)
	}
	return nil
}

// DefineClasses creates the DeviceClass of each driver of devices, in the workload cluster. A class
// that exists stays as it is, and needs no right to create it.
func (s Spec) DefineClasses(ctx context.Context, c *kube.Client) error {
	if err := s.CheckDevices(ctx, c); err != nil {
		return err
	}
	for _, d := range s.Node.DeviceDrivers {
		if _, err := c.Get(ctx, kube.DeviceClasses, "", d.Name); err == nil {
			continue
		}
		class := &unstructured.Unstructured{Object: map[string]any{
			"spec": map[string]any{"selectors": []any{map[string]any{"cel": map[string]any{"expression": fmt.Sprintf("device.driver == %q", d.Name)}}}},
		}}
		class.SetGroupVersionKind(kube.DeviceClasses.WithVersion(kube.DevicesVersion))
		class.SetName(d.Name)
		class.SetLabels(map[string]string{OwnLabel: "true"})
		if err := c.Create(ctx, class); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create the DeviceClass %s: %w", d.Name, err)
		}
	}
	return nil
}

// RemoveClasses deletes the classes that DefineClasses created. The error satisfies
// apierrors.IsForbidden if the user may not list or delete classes.
func RemoveClasses(ctx context.Context, c *kube.Client) error {
	classes, err := c.List(ctx, kube.DeviceClasses, "")
	if err != nil && !kube.IsAbsent(err) {
		return fmt.Errorf("list the DeviceClasses: %w", err)
	}
	for i := range classes {
		if classes[i].GetLabels()[OwnLabel] == "" {
			continue
		}
		if err := c.Delete(ctx, kube.DeviceClasses, "", classes[i].GetName()); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the DeviceClass %s: %w", classes[i].GetName(), err)
		}
	}
	return nil
}
