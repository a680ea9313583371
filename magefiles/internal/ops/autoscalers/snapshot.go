package autoscalers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
)

// addressFile has the host:port at which the autoscaler that ran on this machine last
// served metrics, beside its log.
func (a *Autoscalers) addressFile(c *target.Cluster) string {
	return strings.TrimSuffix(a.AutoscalerLog(c.UID), ".log") + "-address.json"
}

func (a *Autoscalers) recordAddress(c *target.Cluster, flags []autoscaler.Flag) error {
	if err := state.WriteJSON(a.addressFile(c), ValueOf(flags, "address")); err != nil {
		return fmt.Errorf("record the autoscaler's address: %w", err)
	}
	return nil
}

const (
	snapshotPath = "/snapshotz"
	// defaultAddress is the default of --address.
	defaultAddress = ":8085"
)

// Snapshot asks the autoscaler of the cluster for its debugging snapshot, and returns it as
// JSON. The autoscaler answers at the end of its next loop. progress is told who is asked.
func (a *Autoscalers) Snapshot(ctx context.Context, c *target.Cluster, progress func(string)) ([]byte, error) {
	d, client, err := deployedIn(ctx, c)
	if err != nil {
		return nil, err
	}
	if d != nil {
		return snapshotFromPod(ctx, c, client, d, progress)
	}
	address, err := a.address(ctx, c)
	if err != nil {
		return nil, err
	}
	progress("the next loop of the autoscaler at " + address)
	status, body, err := get(ctx, "http://"+address+snapshotPath)
	if err != nil {
		return nil, fmt.Errorf("ask the autoscaler at %s for its snapshot: %w", address, err)
	}
	if status == http.StatusOK {
		return body, nil
	}
	if err := refusal(status, body); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the autoscaler at %s answered with the status %d instead of a snapshot: %.200s", address, status, body)
}

// address returns the host:port at which the autoscaler that runs on this machine serves.
func (a *Autoscalers) address(ctx context.Context, c *target.Cluster) (string, error) {
	who, err := a.State.Holder(autoscalerLock(c))
	if err != nil {
		return "", err
	}
	if who == "" {
		held, err := c.Reserved(ctx, reservation)
		if err != nil {
			return "", err
		}
		if held != nil {
			return "", fmt.Errorf("the autoscaler of the cluster %q runs elsewhere, %s; run this command there", c.Name, held.Holder)
		}
		return "", fmt.Errorf("the lab knows of no running autoscaler; type: %s", a.Config.Command("autoscaler:run"))
	}
	var address string
	if _, err := state.ReadJSON(a.addressFile(c), &address); err != nil {
		return "", fmt.Errorf("read the autoscaler's address: %w", err)
	}
	if address == "" {
		return "", fmt.Errorf("the address of the autoscaler on this machine is not recorded; start it again: %s", a.Config.Command("autoscaler:run"))
	}
	return address, nil
}

// Metrics reads the metrics of the autoscaler of the cluster.
func (a *Autoscalers) Metrics(ctx context.Context, c *target.Cluster) (metrics.Sample, error) {
	ctx, cancel := interrupt.WithTimeout(ctx, lab.AnswerWithin)
	defer cancel()
	d, client, err := deployedIn(ctx, c)
	if err != nil {
		return nil, err
	}
	if d == nil {
		address, err := a.address(ctx, c)
		if err != nil {
			return nil, err
		}
		return metrics.Read(ctx, address)
	}
	pod, port, err := servingPod(ctx, c, client, d)
	if err != nil {
		return nil, err
	}
	body, err := client.FromPod(ctx, pod.GetNamespace(), pod.GetName(), port, "/metrics")
	if err != nil {
		return nil, err
	}
	return metrics.Parse(bytes.NewReader(body))
}

func get(ctx context.Context, url string) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// servingPod returns the pod of an autoscaler's deployment that leads, and the port of its metrics.
// The other pods wait for its lease, and have no loop in which they would answer.
func servingPod(ctx context.Context, c *target.Cluster, client *kube.Client, deployment *unstructured.Unstructured) (pod *unstructured.Unstructured, port string, err error) {
	pods, err := client.List(ctx, kube.Pods, deployment.GetNamespace())
	if err != nil {
		return nil, "", fmt.Errorf("look for the autoscaler's pod: %w", err)
	}
	d, err := kube.Deployment(deployment)
	if err != nil {
		return nil, "", err
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, "", fmt.Errorf("read the selector of the deployment %s: %w", fullName(deployment), err)
	}
	pods = slices.DeleteFunc(pods, func(p unstructured.Unstructured) bool {
		return !selector.Matches(labels.Set(p.GetLabels())) || p.GetDeletionTimestamp() != nil || kube.Field(&p, "status", "phase") != string(corev1.PodRunning)
	})
	if len(pods) == 0 {
		return nil, "", fmt.Errorf("no pod of the autoscaler's deployment %s runs", fullName(deployment))
	}
	flags := flagsIn(d.Spec.Template.Spec.Containers, d.Name)
	pod = &pods[0]
	if len(pods) > 1 {
		if pod, err = leader(ctx, c, pods, flags); err != nil {
			return nil, "", err
		}
	}
	return pod, portOf(flags), nil
}

// snapshotFromPod asks the pod of an autoscaler's deployment that leads.
func snapshotFromPod(ctx context.Context, c *target.Cluster, client *kube.Client, deployment *unstructured.Unstructured, progress func(string)) ([]byte, error) {
	pod, port, err := servingPod(ctx, c, client, deployment)
	if err != nil {
		return nil, err
	}
	progress("the next loop of the pod " + pod.GetName())
	body, err := client.FromPod(ctx, pod.GetNamespace(), pod.GetName(), port, snapshotPath)
	status := apierrors.APIStatus(nil)
	if errors.As(err, &status) {
		if refused := refusal(int(status.Status().Code), body); refused != nil {
			return nil, refused
		}
	}
	return body, err
}

// defaultLease is the default of --leader-elect-resource-name. The lease is in the namespace of
// --namespace, in the cluster that is scaled, and its holder is the hostname. Source:
// cluster-autoscaler/main.go of 1.24.3 and 1.36.1.
const defaultLease = "cluster-autoscaler"

// leader returns the pod that holds the autoscalers' lease.
func leader(ctx context.Context, c *target.Cluster, pods []unstructured.Unstructured, flags []autoscaler.Flag) (*unstructured.Unstructured, error) {
	namespace, name := cmp.Or(ValueOf(flags, "namespace"), c.ConfigNamespace()), cmp.Or(ValueOf(flags, "leader-elect-resource-name"), defaultLease)
	lease, err := c.Workload.Get(ctx, kube.Leases, namespace, name)
	if err != nil {
		return nil, fmt.Errorf("ask which of %d pods of the autoscaler leads: %w", len(pods), err)
	}
	holder := kube.Field(lease, "spec", "holderIdentity")
	i := slices.IndexFunc(pods, func(p unstructured.Unstructured) bool {
		hostname := cmp.Or(kube.Field(&p, "spec", "hostname"), p.GetName())
		if kube.Field(&p, "spec", "hostNetwork") == "true" {
			hostname = kube.Field(&p, "spec", "nodeName")
		}
		return hostname == holder
	})
	if i < 0 {
		return nil, fmt.Errorf("none of %d pods of the autoscaler leads: %q holds the lease %s/%s", len(pods), holder, namespace, name)
	}
	return &pods[i], nil
}

// flagsIn returns the flags of the containers of a deployment that may be the autoscaler, those
// of the last one first.
func flagsIn(containers []corev1.Container, deployment string) []autoscaler.Flag {
	var flags []autoscaler.Flag
	for _, c := range containers {
		if autoscaler.Runs(deployment, autoscaler.Container{Image: c.Image, Command: c.Command}) {
			flags = append(autoscaler.FlagsOf(slices.Concat(c.Command, c.Args)), flags...)
		}
	}
	return flags
}

// portOf returns the port of the autoscaler's metrics.
func portOf(flags []autoscaler.Flag) string {
	_, port, err := net.SplitHostPort(cmp.Or(ValueOf(flags, "address"), defaultAddress))
	if err != nil {
		_, port, _ = net.SplitHostPort(defaultAddress)
	}
	return port
}

// refusal returns why the autoscaler answered with a status, nil if the answer is not one of
// its own. Source: cluster-autoscaler/main.go and debuggingsnapshot/debugging_snapshotter.go
// of 1.24.0 and 1.36.1.
func refusal(status int, body []byte) error {
	switch status {
	case http.StatusNotFound:
		return fmt.Errorf("the autoscaler serves no snapshot: it was started without --debugging-snapshot-enabled, or is older than %s; autoscaler:run and autoscaler:deploy start it with that flag",
			release.FirstAutoscaler(func(r release.Autoscaler) bool { return r.DebuggingSnapshots }))
	case http.StatusTooManyRequests:
		return errors.New("the autoscaler makes a snapshot for somebody else; try again when that is done")
	case http.StatusInternalServerError:
		var failed struct{ Error string }
		if json.Unmarshal(body, &failed) == nil && failed.Error != "" {
			return fmt.Errorf("the autoscaler has no snapshot: %s; its loop ended before it looked at the nodes, and its log says why", failed.Error)
		}
	case http.StatusServiceUnavailable:
		if len(body) == 0 {
			return errors.New("the autoscaler ended before it had a snapshot")
		}
	}
	return nil
}
