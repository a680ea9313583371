package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
)

// routeProtocol marks the routes that cnid made, so that it removes no others.
const routeProtocol = 77

// apply makes the node's network what want says: CNI configuration, routes
// and masquerading. Every part is tried; the errors are joined.
func apply(want network, pods *net.IPNet, config string) error {
	var errs []error
	if want.own != "" {
		errs = append(errs, writeConfig(want.own, config))
	}
	return errors.Join(append(errs, syncRoutes(want.routes), masquerade(pods))...)
}

// writeConfig writes the CNI configuration if it differs. The container
// runtime watches the folder, so the file appears whole.
func writeConfig(podCIDR, path string) error {
	data, err := cniConfig(podCIDR)
	if err != nil {
		return fmt.Errorf("make the CNI configuration: %w", err)
	}
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the CNI configuration: %w", err)
	}
	temp := filepath.Join(filepath.Dir(path), ".caslab.tmp")
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("write the CNI configuration: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write the CNI configuration: %w", err)
	}
	return nil
}

// syncRoutes adds the routes that are missing and removes those of nodes that
// are gone.
func syncRoutes(want map[string]net.IP) error {
	have, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	var errs []error
	for _, r := range have {
		if r.Dst == nil {
			continue
		}
		if _, ok := want[r.Dst.String()]; !ok {
			if err := netlink.RouteDel(&r); err != nil {
				errs = append(errs, fmt.Errorf("remove the route to %s: %w", r.Dst, err))
			}
		}
	}
	for cidr, via := range want {
		_, dst, err := net.ParseCIDR(cidr)
		if err != nil {
			errs = append(errs, fmt.Errorf("pod range of the node %s: %w", via, err))
			continue
		}
		if err := netlink.RouteReplace(&netlink.Route{Dst: dst, Gw: via, Protocol: routeProtocol}); err != nil {
			errs = append(errs, fmt.Errorf("add the route to %s through %s: %w", dst, via, err))
		}
	}
	return errors.Join(errs...)
}

// masquerade gives what pods send out of the cluster the node's address; what
// stays among pods keeps the pod's.
func masquerade(pods *net.IPNet) error {
	tables, err := iptables.New()
	if err != nil {
		return fmt.Errorf("find iptables: %w", err)
	}
	const table, chain = "nat", "CASLAB-MASQ"
	exists, err := tables.ChainExists(table, chain)
	if err != nil {
		return fmt.Errorf("look for the chain %s: %w", chain, err)
	}
	if !exists {
		if err := tables.NewChain(table, chain); err != nil {
			return fmt.Errorf("make the chain %s: %w", chain, err)
		}
	}
	for _, rule := range [][]string{
		{chain, "-d", pods.String(), "-j", "RETURN"},
		{chain, "-d", "224.0.0.0/4", "-j", "RETURN"},
		{chain, "-j", "MASQUERADE"},
		{"POSTROUTING", "-s", pods.String(), "-j", chain},
	} {
		if err := tables.AppendUnique(table, rule[0], rule[1:]...); err != nil {
			return fmt.Errorf("masquerade %s: %w", pods, err)
		}
	}
	return nil
}
