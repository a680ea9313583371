// Command cnid is the network of a node built here: it hands the node's pod
// range to the CNI plugins, keeps routes to the pods of the other nodes, and
// masquerades what leaves the cluster. All nodes share one Docker network, so
// a route through the node's address is all that pods need. IPv4 only.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// resync repairs what something else on the node may have removed.
const resync = 30 * time.Second

func main() {
	node := flag.String("node", "", "name of this node")
	podSubnet := flag.String("pod-subnet", "", "range of all pods, in CIDR notation")
	config := flag.String("cni-config", "/etc/cni/net.d/10-caslab.conflist", "CNI configuration to write")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *node, *podSubnet, *config); err != nil {
		log.Fatalf("cnid: %v", err)
	}
}

func serve(ctx context.Context, node, podSubnet, config string) error {
	_, pods, err := net.ParseCIDR(podSubnet)
	if err != nil {
		return fmt.Errorf("-pod-subnet: %w", err)
	}
	if node == "" {
		return fmt.Errorf("-node is empty; want this node's name")
	}
	restConfig, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("make an API client: %w", err)
	}

	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	}); err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		return nil // told to end
	}

	tick := time.NewTicker(resync)
	defer tick.Stop()
	k := keeper{apply: func(want network) error { return apply(want, pods, config) }}
	for repair := true; ; {
		var all []*corev1.Node
		for _, object := range nodes.Informer().GetStore().List() {
			all = append(all, object.(*corev1.Node))
		}
		if err := k.keep(plan(all, node), repair); err != nil {
			log.Printf("cnid: %v; trying again", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			repair = false
		case <-tick.C:
			repair = true
		}
	}
}
