package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// objectLine matches a line near the beginning of objects in YAML, objectStart the
// beginning of objects in JSON.
var (
	objectLine  = regexp.MustCompile(`(?m)^(?:- )?(?:apiVersion|kind|items|metadata):`)
	objectStart = regexp.MustCompile(`^\s*(?:\[\s*)?\{`)
)

// looksLikeObjects reports whether a file with that beginning has objects.
func looksLikeObjects(head []byte) bool {
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	return objectStart.Match(head) || objectLine.Match(head)
}

// decode returns the objects in YAML or JSON, of which each may be a list, and the kinds of lists of
// one kind. If a part of the text cannot be read, it returns the objects before that, and an error.
func decode(data []byte) (objects []*unstructured.Unstructured, lists []schema.GroupKind, err error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))), headSize)
	for n := 1; ; n++ {
		var raw runtime.RawExtension
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return objects, lists, nil
		}
		var value any
		if err == nil && len(raw.Raw) > 0 {
			err = json.Unmarshal(raw.Raw, &value)
		}
		if err != nil {
			return objects, lists, fmt.Errorf("its document %d is neither YAML nor JSON: %w", n, err)
		}
		if kind := listed(value); kind.Kind != "" {
			lists = append(lists, kind)
		}
		objects = append(objects, flatten(value, "", "")...)
	}
}

// listed returns the kind of the objects in a list; it has no Kind if the value is not a list of one
// kind.
func listed(value any) schema.GroupKind {
	fields, _ := value.(map[string]any)
	o := &unstructured.Unstructured{Object: fields}
	kind, isList := strings.CutSuffix(o.GetKind(), "List")
	if _, has := fields["items"]; !isList || !has {
		return schema.GroupKind{}
	}
	return schema.GroupKind{Group: o.GroupVersionKind().Group, Kind: kind}
}

// flatten returns an object, or the objects of a list. Items of a list that have no type
// have the list's.
func flatten(value any, apiVersion, kind string) []*unstructured.Unstructured {
	var items []any
	switch v := value.(type) {
	case []any:
		items = v
	case map[string]any:
		o := &unstructured.Unstructured{Object: v}
		if o.GetKind() == "" && kind != "" {
			o.SetKind(kind)
			o.SetAPIVersion(apiVersion)
		}
		list, isList := v["items"].([]any)
		if !isList {
			if _, hasMetadata := v["metadata"].(map[string]any); hasMetadata && o.GetKind() != "" && o.GetName() != "" {
				return []*unstructured.Unstructured{o}
			}
			return nil
		}
		items, apiVersion, kind = list, o.GetAPIVersion(), strings.TrimSuffix(o.GetKind(), "List")
	}
	var objects []*unstructured.Unstructured
	for _, item := range items {
		objects = append(objects, flatten(item, apiVersion, kind)...)
	}
	return objects
}

// toCore makes an event of the group events.k8s.io one of the core group.
func toCore(o *unstructured.Unstructured) {
	if o.GroupVersionKind().Group != "events.k8s.io" || o.GetKind() != "Event" {
		return
	}
	o.SetAPIVersion("v1")
	for was, is := range map[string]string{
		"regarding": "involvedObject", "note": "message", "reportingController": "reportingComponent", "deprecatedSource": "source",
		"deprecatedFirstTimestamp": "firstTimestamp", "deprecatedLastTimestamp": "lastTimestamp", "deprecatedCount": "count",
	} {
		if value, there := o.Object[was]; there {
			o.Object[is] = value
		}
	}
}

// pastTimes are the fields of objects with times that have passed when the object is read.
var pastTimes = map[string]bool{
	"creationTimestamp": true, "time": true, "lastTransitionTime": true, "lastHeartbeatTime": true, "lastUpdateTime": true,
	"lastUpdated": true, "startTime": true, "startedAt": true, "finishedAt": true, "firstTimestamp": true, "lastTimestamp": true,
	"eventTime": true, "lastObservedTime": true, "renewTime": true,
}

// latestTime returns the latest of the pastTimes in a value, zero if there is none.
func latestTime(value any) time.Time {
	var latest time.Time
	add := func(at time.Time) {
		if at.After(latest) {
			latest = at
		}
	}
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			add(latestTime(item))
		}
	case map[string]any:
		for key, item := range v {
			text, isText := item.(string)
			if !isText {
				add(latestTime(item))
			} else if at, err := time.Parse(time.RFC3339Nano, text); err == nil && pastTimes[key] {
				add(at.UTC())
			}
		}
	}
	return latest
}
