package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

// subject is the cluster whose nodes are scaled: the environment's, or one
// that the lab did not make and that the settings name.
type subject struct {
	// workload and management reach the nodes and pods, and the Cluster API
	// objects: one cluster, unless managementPath names another.
	workload, management         *kube.Client
	workloadPath, managementPath string
	// name and namespace are of the Cluster object.
	name, namespace string
	// own is true for the environment's cluster.
	own bool
	// uid tells clusters apart, whatever their kubeconfigs are called.
	uid string
}

// arch is the architecture of its nodes, as far as that is known: the lab's are
// of this machine's.
func (s *subject) arch() string {
	if s.own {
		return runtime.GOARCH
	}
	return ""
}

// configNamespace is where the autoscaler keeps its status and looks for its
// configuration, in the workload cluster: a namespace of Cluster API objects
// need not exist there if they are in another cluster.
func (s *subject) configNamespace() string {
	if s.managementPath != "" {
		return "kube-system"
	}
	return s.namespace
}

// UnreachableError is a cluster whose API server does not answer.
type UnreachableError struct {
	Kubeconfig, Hint string
	Err              error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the cluster of %s does not answer: %v\n%s", e.Kubeconfig, e.Err, e.Hint)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// subject finds the cluster to work on, and that it answers.
func (l *Lab) subject(ctx context.Context) (*subject, error) {
	s := &subject{
		workloadPath: l.cfg.WorkloadKubeconfig, managementPath: l.cfg.ManagementKubeconfig,
		name: l.cfg.ClusterName, namespace: l.cfg.Namespace,
	}
	hint := "check the kubeconfig, and that the cluster runs"
	if s.workloadPath == "" {
		_, management, err := l.standing(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(l.kubeconfig()); len(management) > 0 || err != nil {
			return nil, fmt.Errorf("environment %q does not manage itself yet; type: go tool mage env:up", l.cfg.ClusterName)
		}
		s.own, s.workloadPath = true, l.kubeconfig()
		hint = "type: go tool mage env:up"
	}
	var err error
	if s.workload, err = l.open(ctx, s.workloadPath, "WORKLOAD_KUBECONFIG", hint); err != nil {
		return nil, err
	}
	s.management = s.workload
	if s.managementPath != "" {
		if s.management, err = l.open(ctx, s.managementPath, "MANAGEMENT_KUBECONFIG", hint); err != nil {
			return nil, err
		}
	}
	system, err := s.workload.Get(ctx, kube.Namespaces, "", "kube-system")
	if err != nil {
		return nil, fmt.Errorf("find out which cluster %s is of: %w", s.workloadPath, err)
	}
	s.uid = string(system.GetUID())
	return s, s.hasCluster(ctx)
}

func (l *Lab) open(ctx context.Context, path, setting, hint string) (*kube.Client, error) {
	if err := kubeconfigAt(setting, path); err != nil {
		return nil, err
	}
	client, err := kube.Open(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, lookWithin)
	defer cancel()
	if err := client.WaitAnswers(ctx); err != nil {
		return nil, &UnreachableError{Kubeconfig: path, Hint: hint, Err: err}
	}
	return client, nil
}

// kubeconfigAt refuses a setting that names no file.
func kubeconfigAt(setting, path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s=%s: %w; want the path of a kubeconfig", setting, path, err)
	}
	return nil
}

// hasCluster looks for the Cluster object, and names those that there are if
// it is missing.
func (s *subject) hasCluster(ctx context.Context) error {
	_, err := s.management.Get(ctx, kube.Clusters, s.namespace, s.name)
	if err == nil {
		return nil
	}
	var all []unstructured.Unstructured
	switch {
	case meta.IsNoMatchError(err): // it does not even have the kind
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("look for the Cluster %s: %w", s.name, err)
	default:
		if all, err = s.management.List(ctx, kube.Clusters, ""); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return errors.New("the cluster holds no Cluster objects of Cluster API; if another one holds them, set MANAGEMENT_KUBECONFIG")
	}
	var names []string
	for i := range all {
		names = append(names, all[i].GetNamespace()+"/"+all[i].GetName())
	}
	return fmt.Errorf("there is no Cluster %s/%s, but %s; set CLUSTER_NAME and CLUSTER_NAMESPACE", s.namespace, s.name, strings.Join(names, ", "))
}
