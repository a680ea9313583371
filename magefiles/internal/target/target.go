// Package target opens the cluster that a command works on: the environment's, or
// one that the lab did not create and that the settings name.
package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
)

// PodNamespace is the namespace in which the lab creates pods.
const PodNamespace = "default"

// Cluster is the cluster whose nodes are scaled.
type Cluster struct {
	// Workload and Management reach the nodes and pods, and the Cluster API
	// objects: one cluster, unless ManagementPath names another.
	Workload, Management *kube.Client
	// WorkloadPath and ManagementPath are the kubeconfigs; the second is empty
	// if the cluster manages itself.
	WorkloadPath, ManagementPath string
	// Name and Namespace of the Cluster object.
	Name, Namespace string
	// Own is true for the environment's cluster.
	Own bool
	// UID identifies the cluster. It is the UID of the namespace kube-system.
	UID string
}

// Arch returns the architecture of the nodes if it is known: nodes of the lab have this
// machine's.
func (c *Cluster) Arch() string {
	if c.Own {
		return runtime.GOARCH
	}
	return ""
}

// ConfigNamespace is where the autoscaler keeps its status and looks for its
// configuration, in the workload cluster. The namespace of the Cluster API
// objects need not exist there if they are in another cluster.
func (c *Cluster) ConfigNamespace() string {
	if c.ManagementPath != "" {
		return "kube-system"
	}
	return c.Namespace
}

// Options say which cluster to open.
type Options struct {
	// Workload and Management are the kubeconfigs of a cluster that the lab did not
	// create, and of the cluster with its Cluster API objects, if that is another one.
	// Both are empty for the environment's cluster.
	Workload, Management string
	// Name and Namespace of the Cluster object.
	Name, Namespace string
	// Environment returns the kubeconfig of the environment if it manages
	// itself, and an error that says what to type if it does not.
	Environment func(ctx context.Context) (kubeconfig string, err error)
	// Start is what to type if the environment's API server does not answer.
	Start string
}

// answerTimeout bounds how long an API server may take to answer.
const answerTimeout = 15 * time.Second

// Opener opens the cluster that the settings name.
type Opener func(ctx context.Context) (*Cluster, error)

// MissingClusterError says that the management cluster that the settings name has no Cluster objects
// at all, and what to check.
type MissingClusterError struct{ text string }

// Error implements error.
func (e *MissingClusterError) Error() string { return e.text }

// Open finds the cluster to work on, and checks that it answers and has the
// Cluster object. If the error is a *MissingClusterError, Open also returns the cluster, because
// clusterctl move may bring the object later.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{WorkloadPath: o.Workload, ManagementPath: o.Management, Name: o.Name, Namespace: o.Namespace}
	hint := "check the kubeconfig, and that the cluster runs"
	var err error
	if c.WorkloadPath == "" {
		if c.WorkloadPath, err = o.Environment(ctx); err != nil {
			return nil, err
		}
		c.Own, hint = true, "type: "+o.Start
	}
	connect := kube.Open
	if c.Own {
		connect = kube.OpenMoving // the port changes when the environment is started again
	}
	if c.Workload, err = open(ctx, connect, c.WorkloadPath, "WORKLOAD_KUBECONFIG", hint); err != nil {
		return nil, err
	}
	c.Management = c.Workload
	if c.ManagementPath != "" {
		if c.Management, err = open(ctx, kube.Open, c.ManagementPath, "MANAGEMENT_KUBECONFIG", hint); err != nil {
			return nil, err
		}
	}
	system, err := c.Workload.Get(ctx, kube.Namespaces, "", "kube-system")
	if err != nil {
		return nil, fmt.Errorf("find out which cluster %s leads to: %w", c.WorkloadPath, err)
	}
	c.UID = string(system.GetUID())
	return c, c.hasCluster(ctx)
}

func open(ctx context.Context, connect func(path string) (*kube.Client, error), path, setting, hint string) (*kube.Client, error) {
	if err := CheckKubeconfig(setting, path); err != nil {
		return nil, err
	}
	client, err := connect(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := interrupt.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := client.WaitAnswers(ctx); err != nil {
		return nil, fmt.Errorf("the cluster of %s does not answer: %w\n%s", path, err, hint)
	}
	return client, nil
}

// CheckKubeconfig refuses the value of a setting that names no file.
func CheckKubeconfig(setting, path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s=%s: %w; want the path of a kubeconfig", setting, path, err)
	}
	return nil
}

// hasCluster returns an error if the Cluster object is missing, which names the existing
// ones.
func (c *Cluster) hasCluster(ctx context.Context) error {
	_, err := c.Management.Get(ctx, kube.Clusters, c.Namespace, c.Name)
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return fmt.Errorf("look for the Cluster %s: %w", c.Name, err)
	}
	all, err := clusters(ctx, c.Management)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return fmt.Errorf("there is no Cluster %s/%s, but %s; set CLUSTER_NAME and CLUSTER_NAMESPACE", c.Namespace, c.Name, strings.Join(all, ", "))
	}
	if c.ManagementPath == "" {
		return errors.New("the cluster holds no Cluster objects of Cluster API; if another one holds them, set MANAGEMENT_KUBECONFIG")
	}
	if all, err = clusters(ctx, c.Workload); err == nil && len(all) > 0 {
		return missing("the two kubeconfigs look swapped: the cluster of WORKLOAD_KUBECONFIG=%s holds the Cluster objects of Cluster API (%s), and that of MANAGEMENT_KUBECONFIG=%s holds none; exchange them, or leave out MANAGEMENT_KUBECONFIG if the cluster manages itself",
			c.WorkloadPath, strings.Join(all, ", "), c.ManagementPath)
	}
	return missing("the cluster of MANAGEMENT_KUBECONFIG=%s holds no Cluster objects of Cluster API; want the kubeconfig of the cluster in which Cluster API manages %s/%s", c.ManagementPath, c.Namespace, c.Name)
}

func missing(format string, args ...any) error {
	return &MissingClusterError{text: fmt.Sprintf(format, args...)}
}

// clusters returns the names of the Cluster objects; none if the kind does not exist.
func clusters(ctx context.Context, client *kube.Client) ([]string, error) {
	var all []unstructured.Unstructured
	all, err := client.List(ctx, kube.Clusters, "")
	if err != nil && !meta.IsNoMatchError(err) {
		return nil, err
	}
	var names []string
	for i := range all {
		names = append(names, all[i].GetNamespace()+"/"+all[i].GetName())
	}
	return names, nil
}
