package autoscaler

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// StatusConfigMap is the ConfigMap of the autoscaler's status, in the namespace of
// --namespace, unless --status-config-map-name names another.
const StatusConfigMap = "cluster-autoscaler-status"

// Keys of the taints that the autoscaler puts on nodes: on one that it may delete, and
// on one that it deletes. The value is the time in seconds since 1970.
const (
	CandidateTaint = "DeletionCandidateOfClusterAutoscaler"
	DeletedTaint   = "ToBeDeletedByClusterAutoscaler"
)

// TimeLayout is the layout of times in the status: time.Time's String.
const TimeLayout = "2006-01-02 15:04:05.999999999 -0700 MST"

// ParseTime parses a time as the autoscaler writes it, with or without the reading of the
// monotonic clock after it. It returns zero for any other text.
func ParseTime(text string) time.Time {
	text, _, _ = strings.Cut(text, " m=")
	t, err := time.Parse(TimeLayout, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Status is the autoscaler's status, as releases from 1.30 on write it.
type Status struct {
	Time             string      `json:"time"`
	AutoscalerStatus string      `json:"autoscalerStatus"`
	Message          string      `json:"message"`
	ClusterWide      GroupStatus `json:"clusterWide"`
	// NodeGroups are named Kind/namespace/name.
	NodeGroups []GroupStatus `json:"nodeGroups"`
}

// GroupStatus is the status of one node group, or of all.
type GroupStatus struct {
	Name   string `json:"name"`
	Health struct {
		Status     string `json:"status"`
		NodeCounts struct {
			Registered struct {
				Total      int `json:"total"`
				Ready      int `json:"ready"`
				NotStarted int `json:"notStarted"`
			} `json:"registered"`
			LongUnregistered int `json:"longUnregistered"`
			Unregistered     int `json:"unregistered"`
		} `json:"nodeCounts"`
		CloudProviderTarget int `json:"cloudProviderTarget"`
		MinSize             int `json:"minSize"`
		MaxSize             int `json:"maxSize"`
	} `json:"health"`
	ScaleUp struct {
		Status      string `json:"status"`
		BackoffInfo struct {
			ErrorCode    string `json:"errorCode"`
			ErrorMessage string `json:"errorMessage"`
		} `json:"backoffInfo"`
	} `json:"scaleUp"`
	ScaleDown struct {
		Status     string `json:"status"`
		Candidates int    `json:"candidates"`
	} `json:"scaleDown"`
}

// ErrPlainStatus is returned for a status in prose, which releases before 1.30 write.
var ErrPlainStatus = errors.New("the status is prose, for people to read")

// ParseStatus reads the value of the key "status" of the ConfigMap.
func ParseStatus(text string) (Status, error) {
	var s Status
	var any map[string]any
	if err := yaml.Unmarshal([]byte(text), &any); err != nil {
		return s, fmt.Errorf("%w (%w)", ErrPlainStatus, err)
	}
	if _, ok := any["autoscalerStatus"]; !ok {
		return s, ErrPlainStatus
	}
	if err := yaml.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("read the autoscaler's status: %w", err)
	}
	return s, nil
}
