package simtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
)

// Log writes a line to the autoscaler's log in the format of klog. The severity is
// I, W, E or F; source is the file and line that wrote the message.
func (c *Cluster) Log(severity, source, format string, args ...any) {
	line := fmt.Sprintf("%s%s       1 %s] %s\n", severity, time.Now().Format("0102 15:04:05.000000"), source, fmt.Sprintf(format, args...))
	c.mu.Lock()
	defer c.mu.Unlock()
	file, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = file.WriteString(line)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		c.t.Errorf("the simulated autoscaler cannot write its log: %v", err)
	}
}

// newLog begins a new log and keeps the one before, as the lab does when it starts an
// autoscaler.
func (c *Cluster) newLog() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.Rename(c.logFile, c.logFile+".previous"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Errorf("the simulated autoscaler cannot keep its log: %v", err)
	}
}

// event creates an event about a pod, or counts it up if it exists.
func (c *Cluster) event(pod *unstructured.Unstructured, reason, message string) {
	name := fmt.Sprintf("%s.%s.%x", pod.GetName(), reason, hash(message))
	now := metav1.Now().UTC().Format(time.RFC3339)
	if there := c.server.Get(kube.Events, Namespace, name); there != nil {
		c.patch(there, map[string]any{"count": number(there, "count") + 1, "lastTimestamp": now})
		return
	}
	e := &unstructured.Unstructured{Object: map[string]any{
		"type": "Normal", "reason": reason, "message": message, "count": int64(1), "firstTimestamp": now, "lastTimestamp": now,
		"source":         map[string]any{"component": autoscaler.Component},
		"involvedObject": map[string]any{"kind": "Pod", "namespace": pod.GetNamespace(), "name": pod.GetName(), "uid": string(pod.GetUID())},
	}}
	e.SetAPIVersion("v1")
	e.SetKind("Event")
	e.SetNamespace(Namespace)
	e.SetName(name)
	e.SetUID(types.UID(name))
	e.SetCreationTimestamp(metav1.Now())
	c.server.Put(e)
}
