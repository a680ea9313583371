package hollow

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/list"
)

// span is a time that varies: base ± jitter, each value as likely as another.
type span struct{ base, jitter time.Duration }

// maxTime bounds every time of a hollow machine: what takes longer never comes in a test.
const maxTime = 24 * time.Hour

// parseSpan reads 30s, 30s±10s or 30s+-10s.
func parseSpan(text string) (span, error) {
	base, jitter, varies := strings.Cut(strings.ReplaceAll(text, "+-", "±"), "±")
	var s span
	var err error
	if s.base, err = parseTime(base); err != nil {
		return span{}, err
	}
	if !varies {
		return s, nil
	}
	if s.jitter, err = parseTime(jitter); err != nil {
		return span{}, err
	}
	if s.jitter > s.base {
		return span{}, fmt.Errorf("want at most ±%s: a time cannot be negative", s.base)
	}
	return s, nil
}

// parseTime reads a time such as 30s, at most maxTime.
func parseTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("want a time, such as 30s or 1m30s")
	}
	if d < 0 || d > maxTime || d%time.Millisecond != 0 {
		return 0, fmt.Errorf("want a time from 0s to %s, in whole milliseconds", short(maxTime))
	}
	return d, nil
}

func (s span) String() string {
	if s.jitter == 0 {
		return short(s.base)
	}
	return short(s.base) + "±" + short(s.jitter)
}

// short writes a time without parts that are zero: 1m, and not 1m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// maxMachines bounds a number of machines. The definition has the same bound.
const maxMachines = 100000

// parseShare reads a share of all machines, such as 10%, or a number of the next ones, such
// as 3. Nil is none.
func parseShare(text string) (*intstr.IntOrString, error) {
	if _, percent := strings.CutSuffix(text, "%"); percent {
		return parsePercent(text)
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n > maxMachines {
		return nil, fmt.Errorf("want a share of 0%% to 100%%, such as 10%%, or a number of machines from 0 to %d, such as 3", maxMachines)
	}
	if n == 0 {
		return nil, nil
	}
	number := intstr.FromInt32(int32(n))
	return &number, nil
}

// parsePercent reads a share such as 10%. Nil is none.
func parsePercent(text string) (*intstr.IntOrString, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !percent || err != nil || n > 100 {
		return nil, errors.New("want a share of 0% to 100%, such as 10%")
	}
	if n == 0 {
		return nil, nil
	}
	share := intstr.FromString(strconv.FormatUint(n, 10) + "%")
	return &share, nil
}

// percentOf returns the percentage of a share, and 0 for a number.
func percentOf(share *intstr.IntOrString) int {
	if share == nil || share.Type != intstr.String {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSuffix(share.StrVal, "%")) // parsePercent wrote it
	return n
}

// The names that a capacity of docker machines has, and those of Kubernetes.
const (
	gpuType   = "gpu-type"
	gpuCount  = "gpu-count"
	draDriver = "dra-driver"
	csiDriver = "csi-driver"
)

var dockerNames = map[string]corev1.ResourceName{
	"ephemeral-disk": corev1.ResourceEphemeralStorage, "maxPods": corev1.ResourcePods,
}

// parseCapacity reads cpu=8,memory=32Gi,nvidia.com/gpu=4 and the like.
func parseCapacity(text string) (corev1.ResourceList, error) {
	capacity := corev1.ResourceList{}
	var device, devices string
	parts, err := list.Split(text)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		given, value, _ := strings.Cut(part, "=")
		switch given {
		case gpuType:
			device = value
			continue
		case gpuCount:
			devices = value
			continue
		case draDriver:
			return nil, fmt.Errorf("%q: give hollow nodes devices for ResourceClaims with -dra, such as -dra=gpu.example.com=4", part)
		case csiDriver:
			return nil, fmt.Errorf("%q: give hollow nodes CSI drivers with -csi, such as -csi=ebs.csi.aws.com=25", part)
		}
		if err := add(capacity, given, value); err != nil {
			return nil, fmt.Errorf("%q: %w", part, err)
		}
	}
	if device != "" || devices != "" {
		if err := add(capacity, device, devices); err != nil {
			return nil, fmt.Errorf("%s=%s,%s=%s: %w; want both, or nvidia.com/gpu=4", gpuType, device, gpuCount, devices, err)
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if _, there := capacity[name]; !there {
			return nil, fmt.Errorf("%q: want at least cpu and memory, such as cpu=8,memory=32Gi: no pod fits on a node without them", text)
		}
	}
	return capacity, nil
}

// add adds one resource to a capacity.
func add(capacity corev1.ResourceList, given, value string) error {
	name := corev1.ResourceName(given)
	if known, ok := dockerNames[given]; ok {
		name = known
	}
	if err := checkResource(name); err != nil {
		return err
	}
	if _, twice := capacity[name]; twice {
		return fmt.Errorf("%s is there twice", name)
	}
	amount, err := resource.ParseQuantity(value)
	if err != nil || amount.Sign() <= 0 {
		return errors.New("want a quantity above 0, such as 4, 500m or 16Gi")
	}
	if name != corev1.ResourceCPU && amount.MilliValue()%1000 != 0 {
		return errors.New("want a whole number: of all resources, cpu alone can be divided")
	}
	if size, ok := pageSize(name); ok && amount.Value()%size.Value() != 0 {
		return fmt.Errorf("want a multiple of the page size %s", size.String())
	}
	capacity[name] = amount
	return nil
}

// hugePages begins the names of resources of huge pages. The page size follows.
const hugePages = corev1.ResourceHugePagesPrefix

// pageSize returns the size of the huge pages that a resource consists of.
func pageSize(name corev1.ResourceName) (resource.Quantity, bool) {
	text, ok := strings.CutPrefix(string(name), hugePages)
	size, err := resource.ParseQuantity(text)
	return size, ok && err == nil && size.Sign() > 0
}

// isDevice reports whether a resource is one that a device plugin announces.
func isDevice(name corev1.ResourceName) bool { return strings.Contains(string(name), "/") }

// checkResource refuses names of resources that no node has. The rules are those of
// Kubernetes: pkg/apis/core/v1/helper/helpers.go, IsExtendedResourceName, at v1.36.1.
func checkResource(name corev1.ResourceName) error {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage:
		return nil
	}
	if _, ok := pageSize(name); ok {
		return nil
	}
	domain, _, _ := strings.Cut(string(name), "/")
	native := domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") || strings.HasPrefix(domain, "requests.")
	if isDevice(name) && !native && len(validation.IsQualifiedName(string(name))) == 0 {
		return nil
	}
	return errors.New("want cpu, memory, pods, ephemeral-storage, huge pages such as hugepages-2Mi, or a device with its domain, such as nvidia.com/gpu")
}

// textOf writes a capacity as parseCapacity reads it.
func textOf(capacity corev1.ResourceList) string {
	parts := make([]string, 0, len(capacity))
	for _, name := range slices.Sorted(maps.Keys(capacity)) {
		amount := capacity[name]
		parts = append(parts, string(name)+"="+amount.String())
	}
	return strings.Join(parts, ",")
}
