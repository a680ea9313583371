package proof

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	version "github.com/hashicorp/go-version"
	yamlv3 "go.yaml.in/yaml/v3"
)

// Same reports whether both records are about the same combination of releases.
func (r Record) Same(other Record) bool { return r.compare(other) == 0 }

// compare sorts combinations: the one with the newest releases comes first.
func (r Record) compare(other Record) int {
	return cmp.Or(newerFirst(r.ClusterAPI, other.ClusterAPI), newerFirst(r.Kubernetes, other.Kubernetes), newerFirst(r.Autoscaler, other.Autoscaler))
}

// Sort sorts records: the one with the newest releases comes first.
func Sort(records []Record) { slices.SortStableFunc(records, Record.compare) }

// newerFirst compares releases. It panics for one that is no version, which check refuses
// before.
func newerFirst(a, b string) int {
	return version.Must(version.NewSemver(strings.TrimPrefix(b, "v"))).Compare(version.Must(version.NewSemver(strings.TrimPrefix(a, "v"))))
}

// Put returns the text of a file such as proof.yaml with r, in the place of the
// record of the same combination. If there is none, r comes before the first record
// of older releases. Comments and all other records stay as they are.
func Put(data []byte, r Record) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("the record of Cluster API %s on Kubernetes %s: %w", r.ClusterAPI, r.Kubernetes, err)
	}
	all, err := Read(data)
	if err != nil {
		return nil, err
	}
	var doc yamlv3.Node
	if err := yamlv3.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read the record of what ran: %w", err)
	}
	if len(all) == 0 {
		return nil, errors.New("the record of what ran has no entry; want at least one")
	}
	list := doc.Content[0]
	i := slices.IndexFunc(all, func(other Record) bool { return r.compare(other) <= 0 })
	switch {
	case i < 0:
		list.Content = append(list.Content, &yamlv3.Node{Kind: yamlv3.MappingNode})
		i = len(all)
	case !r.Same(all[i]):
		entry := &yamlv3.Node{Kind: yamlv3.MappingNode}
		if i == 0 { // the comment at the top is about the whole file
			first := list.Content[0]
			entry.HeadComment, first.HeadComment = first.HeadComment, ""
		}
		list.Content = slices.Insert(list.Content, i, entry)
	}
	r.writeTo(list.Content[i])
	var out bytes.Buffer
	e := yamlv3.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write the record of what ran: %w", err)
	}
	return out.Bytes(), nil
}

// writeTo gives the entry the values of the record. The comments of the entry stay.
func (r Record) writeTo(entry *yamlv3.Node) {
	at := 0
	set := func(key string, value *yamlv3.Node) {
		i := keyIn(entry, key)
		switch {
		case value == nil && i >= 0:
			entry.Content = slices.Delete(entry.Content, i, i+2)
		case value == nil:
		case i >= 0:
			value.LineComment = entry.Content[i+1].LineComment
			entry.Content[i+1] = value
			at = i + 2
		default:
			entry.Content = slices.Insert(entry.Content, at, &yamlv3.Node{Kind: yamlv3.ScalarNode, Value: key}, value)
			at += 2
		}
	}
	set("clusterAPI", plain(r.ClusterAPI))
	set("kubernetes", plain(r.Kubernetes))
	set("autoscaler", plain(r.Autoscaler))
	set("built", quoted(r.Built)) // without quotes it is a time stamp
	set("generated", quoted(r.Generated))
	set("ran", quoted(r.Ran))
	set("seconds", r.Seconds.node())
	set("failed", quoted(r.Failed))
}

// keyIn returns the index of a key of a mapping, or -1.
func keyIn(mapping *yamlv3.Node, key string) int {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

func plain(text string) *yamlv3.Node { return &yamlv3.Node{Kind: yamlv3.ScalarNode, Value: text} }

// quoted returns nil for an empty text.
func quoted(text string) *yamlv3.Node {
	if text == "" {
		return nil
	}
	return &yamlv3.Node{Kind: yamlv3.ScalarNode, Style: yamlv3.DoubleQuotedStyle, Value: text}
}

// node returns the measured parts as a mapping in one line, or nil if no part was measured.
func (s Seconds) node() *yamlv3.Node {
	n := &yamlv3.Node{Kind: yamlv3.MappingNode, Style: yamlv3.FlowStyle}
	for _, p := range s.parts() {
		if p.seconds > 0 {
			n.Content = append(n.Content, plain(p.key), plain(strconv.Itoa(p.seconds)))
		}
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n
}
