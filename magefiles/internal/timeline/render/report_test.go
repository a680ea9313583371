package render

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
	"caslab/magefiles/internal/timeline/timelinetest"
)

func reportOf(t *testing.T, facts []timeline.Fact, opts ReportOptions) string {
	t.Helper()
	var out strings.Builder
	if err := Report(&out, facts, opts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func svgOf(t *testing.T, facts []timeline.Fact) string {
	t.Helper()
	var out strings.Builder
	if err := SVG(&out, facts, SVGOptions{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// loadingAttributes matches everything that can make a browser load something.
var loadingAttributes = regexp.MustCompile(`(?i)\b(src|href|srcset|action|poster|data)\s*=|url\(|@import|<(link|base|iframe|object|embed|img|form)\b|\bfetch\(|XMLHttpRequest|import\s*\(|//[a-z0-9-]+\.[a-z]`)

func TestPageLoadsNothing(t *testing.T) {
	t.Parallel()
	for name, facts := range map[string][]timeline.Fact{"full": timelinetest.TwentyMinutes(), "empty": nil} {
		page := reportOf(t, facts, ReportOptions{Title: "A run"})
		// A message of the autoscaler may contain addresses. The page itself
		// must not.
		page = strings.ReplaceAll(page, html.EscapeString(`"https://172.18.0.3:6443/api/v1/nodes"`), "")
		if i := loadingAttributes.FindStringIndex(page); i != nil {
			t.Errorf("the %s page would load something: …%s…", name, page[max(0, i[0]-60):min(len(page), i[1]+60)])
		}
		for _, want := range []string{"<!doctype html>", `charset="utf-8"`, "default-src 'none'", "prefers-color-scheme: dark"} {
			if !strings.Contains(html.UnescapeString(page), want) {
				t.Errorf("the %s page lacks %s", name, want)
			}
		}
	}
	if !loadingAttributes.MatchString(`<script src="x">`) || !loadingAttributes.MatchString("@import") {
		t.Error("the test cannot fail")
	}
}

// TestPolicyAllowsThePagesOwnScriptAlone: the policy has the hashes of what is on the page,
// and only a served page may connect, to its own server.
func TestPolicyAllowsThePagesOwnScriptAlone(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"", "1"} {
		page := reportOf(t, timelinetest.TwentyMinutes(), ReportOptions{Version: version})
		_, policy, _ := strings.Cut(page, `http-equiv="Content-Security-Policy" content="`)
		policy, _, _ = strings.Cut(policy, `"`)
		if policy = html.UnescapeString(policy); policy != Policy(version != "") {
			t.Errorf("the page's policy is %s", policy)
		}
		for _, element := range []string{"script", "style"} {
			_, text, _ := strings.Cut(page, "<"+element+">")
			text, _, found := strings.Cut(text, "</"+element+">")
			if want := element + "-src " + hashSource(text); !found || !strings.Contains(policy, want) {
				t.Errorf("the policy %s lacks %s", policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "connect-src 'self'") != (version != "") || strings.Contains(page, "fetch(") != (version != "") {
			t.Errorf("of version %q the policy is %s", version, policy)
		}
	}
}

func TestPageExplains(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	page := html.UnescapeString(reportOf(t, facts, ReportOptions{Title: "Scenarios", Subtitle: "autoscaler 1.36.1", Now: facts[len(facts)-1].Time}))
	for _, want := range []string{
		"<title>Scenarios</title>", "autoscaler 1.36.1", "Made by caslab at 2026-11-24 22:20:10",
		"pod didn't trigger scale-up: 3 max node group size reached",
		"still waits; the autoscaler: pod didn't trigger scale-up",
		"for which the autoscaler enlarged work-md-1 to 4",
		"memory requested (", "node group min size reached",
		`the autoscaler: Scale-down: removing empty node "work-cluster-work-md-1-jbskx-23757"`,
		"restart of the autoscaler", "nobody recorded", "maximum holds", "want at most 3 nodes",
		"decision until the machine was created", "until Machine deletion began", "paused",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	m := history.New(facts)
	for _, n := range m.Nodes {
		if !strings.Contains(page, n.Name()) {
			t.Errorf("the page lacks the node %s", n.Name())
		}
	}
	for _, p := range m.Pods {
		if !strings.Contains(page, p.Name) {
			t.Errorf("the page lacks the pod %s", p.Name)
		}
	}
}

// TestPageOfTheLastMinutes: the tables and counts are about the last minutes
// only, and earlier statements that explain them are shown too.
func TestPageOfTheLastMinutes(t *testing.T) {
	t.Parallel()
	m := history.New(timelinetest.TwentyMinutes())
	whole := newPage(m, levels.Levels{}, ReportOptions{})
	late := newPage(m, levels.Levels{}, ReportOptions{From: m.To.Add(-5 * time.Minute)})
	for what, n := range map[string][2]int{
		"pods": {len(whole.Pods), len(late.Pods)}, "nodes": {len(whole.Nodes), len(late.Nodes)},
		"decisions": {len(whole.Decisions), len(late.Decisions)}, "facts": {len(whole.Facts), len(late.Facts)},
	} {
		if n[1] == 0 || n[1] >= n[0] {
			t.Errorf("%d of %d %s are of the last minutes", n[1], n[0], what)
		}
	}
	if first := late.Facts[0].Time; first < m.To.Add(-5*time.Minute).Local().Format("15:04:05.000") {
		t.Errorf("a fact of %s is on the page", first)
	}
	var numbers []string
	for _, tile := range late.Tiles {
		numbers = append(numbers, tile.Number)
	}
	if want := []string{"2 pods", "0 ▲ 1 ▼", "+0 −1", "0 problems", "0 ✓ 1 ✗ 0 !"}; !slices.Equal(numbers, want) {
		t.Errorf("the counts are %q, want %q", numbers, want)
	}
	for _, pod := range late.Pods {
		if !slices.ContainsFunc(pod.Said, func(s statementRow) bool { return strings.Contains(s.Text, "max node group size reached") }) {
			t.Errorf("%s waits, and what was said of it before is not on the page: %v", pod.Name, pod.Said)
		}
	}
	var notes []string
	for _, lane := range late.Drawing.Lanes[:3] {
		notes = append(notes, lane.Notes...)
	}
	if want := []string{"1 run", "no restart", "2 pods, 2 without room"}; !slices.Equal(notes, want) {
		t.Errorf("the picture's counts are %q, want %q", notes, want)
	}
	// If nothing was recorded since From, or nothing before it, the page shows
	// the whole record.
	for _, from := range []time.Time{m.To.Add(time.Hour), m.From.Add(-time.Hour)} {
		if all := newPage(m, levels.Levels{}, ReportOptions{From: from}); len(all.Facts) != len(whole.Facts) || all.Period != whole.Period {
			t.Errorf("from %s on there are %d facts, %s; want all", from, len(all.Facts), all.Period)
		}
	}
}

func TestEmptyPageShowsAHint(t *testing.T) {
	t.Parallel()
	page := reportOf(t, nil, ReportOptions{Hint: []HintStep{{{"do this", "makes <pods>, or "}, {"do that", "waits"}}}})
	for _, want := range []string{"Nothing is on record", "To have one:", "<li><code>do this</code> makes &lt;pods&gt;, or <code>do that</code> waits</li>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the empty page lacks %q", want)
		}
	}
	if page := reportOf(t, nil, ReportOptions{}); strings.Contains(page, "To have one:") || strings.Contains(page, "<li>") {
		t.Error("the empty page announces a hint that it lacks")
	}
	if svg := svgOf(t, nil); !strings.Contains(svg, "nothing is on record") {
		t.Errorf("the empty picture is %s", svg)
	}
}

// TestHostileTextIsEscaped uses facts with hostile text in every field that a
// cluster can fill.
func TestHostileTextIsEscaped(t *testing.T) {
	t.Parallel()
	page := reportOf(t, timelinetest.HostileFacts(), ReportOptions{Title: timelinetest.Hostile, Subtitle: timelinetest.Hostile})
	if n := strings.Count(page, "</script>"); n != 1 {
		t.Errorf("%d ends of scripts, want the page's own", n)
	}
	if strings.Contains(page, "<img") || strings.Contains(page, "\x1b") || strings.Contains(page, "\u202e") {
		t.Error("hostile text is not escaped")
	}
	if !strings.Contains(page, "&lt;/script&gt;") {
		t.Error("the test cannot fail: the text is not on the page")
	}
	if len(page) > 12<<20 {
		t.Errorf("messages of 5000 characters make a page of %d bytes", len(page))
	}
	wellFormed(t, svgOf(t, timelinetest.HostileFacts()))
}

// wellFormed fails the test if a picture is not valid XML, or has a script or a
// style sheet.
func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok && slices.Contains([]string{"script", "style", "image", "foreignObject", "a"}, e.Name.Local) {
			t.Fatalf("the picture has a %s", e.Name.Local)
		}
	}
}

func TestSVGHasNoScript(t *testing.T) {
	t.Parallel()
	svg := svgOf(t, timelinetest.TwentyMinutes())
	wellFormed(t, svg)
	if !strings.Contains(svg, `width="1200"`) || strings.Contains(svg, "data-") {
		t.Error("the picture has another width, or the script's data")
	}
	if n := len(svg); n > 200<<10 {
		t.Errorf("the picture has %d bytes", n)
	}
	wellFormed(t, svgOf(t, timelinetest.TwentyMinutes()[:1]))
}

// drawn returns the drawing of a whole record.
func drawn(facts []timeline.Fact) *drawing {
	return draw(history.New(facts), content{numbers: levels.Of(facts), verdict: history.PodWhy.Verdict, script: true})
}

// TestNothingOverlaps: whatever part of a record is drawn, the lanes are one
// below the other, and bars neither overlap nor leave their lane.
func TestNothingOverlaps(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	long := timelinetest.LongRecord(4000)
	for _, part := range [][]timeline.Fact{facts, facts[:1], facts[:100], facts[50:], facts[300:], long, timelinetest.Measured()} {
		d := drawn(part)
		y := axisHeight
		for _, l := range d.Lanes {
			if l.Y != y || l.Height <= 0 {
				t.Fatalf("the lane %s is at %d, want %d", l.Name, l.Y, y)
			}
			y += l.Height
		}
		if d.Height < y {
			t.Errorf("lanes end at %d in a picture of %d", y, d.Height)
		}
		bars := slices.DeleteFunc(slices.Clone(d.Bars), func(b bar) bool { return b.Class == "gap" || b.Class == "size" })
		slices.SortStableFunc(bars, func(a, b bar) int { return a.Y - b.Y })
		for i, a := range bars {
			if !slices.ContainsFunc(d.Lanes, func(l lane) bool { return a.Y >= l.Y && a.Y+a.Height <= l.Y+l.Height }) {
				t.Fatalf("the bar of %s at %d is in no lane", a.Name, a.Y)
			}
			for _, b := range bars[i+1:] {
				if b.Y >= a.Y+a.Height {
					break
				}
				if a.A < b.B && b.A < a.B {
					t.Fatalf("%s (%d to %d at %d) lies on %s (%d to %d at %d)", a.Name, a.A, a.B, a.Y, b.Name, b.A, b.B, b.Y)
				}
			}
		}
		for _, b := range d.Bars {
			for i, p := range b.Parts {
				if p.Class == "" || p.B < p.A || i > 0 && p.A != b.Parts[i-1].B {
					t.Fatalf("the bar of %s has the part %+v", b.Name, p)
				}
			}
		}
	}
}

// TestGroupsThatWereGoneHaveNoLane: a group that ended before the axis begins is left out, and the notes of
// the lanes that are there have room.
func TestGroupsThatWereGoneHaveNoLane(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	for _, name := range []string{"stays", "gone", "later"} {
		b.Group(name, 0, 1, 0)
	}
	gone := func(at float64, name string) {
		b.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.Gone, Name: name, UID: "g-" + name, Source: timeline.Watch})
	}
	gone(100, "gone")
	b.Pods(150, "load", 1200)
	gone(300, "later")
	lanes := map[string][]string{}
	for _, l := range draw(history.New(b.Record()), content{verdict: history.PodWhy.Verdict, from: b.At(120)}).Lanes {
		lanes[l.Name] = l.Notes
	}
	for name, want := range map[string]bool{"stays": true, "gone": false, "later": true} {
		if _, there := lanes[name]; there != want {
			t.Errorf("the group %s has a lane: %t, want %t", name, there, want)
		}
	}
	if want := []string{"1200 pods,", "1200 without room"}; !slices.Equal(lanes["waiting pods"], want) {
		t.Errorf("the notes of the waiting pods are %q, want %q", lanes["waiting pods"], want)
	}
}

// TestNothingIsDrawnBeforeTheAxis: a picture of the last minutes has no bar, gap
// or mark that ended before its axis begins.
func TestNothingIsDrawnBeforeTheAxis(t *testing.T) {
	t.Parallel()
	m := history.New(timelinetest.TwentyMinutes())
	from := m.Gaps[len(m.Gaps)-1].To.Add(time.Minute)
	whole, late := draw(m, content{verdict: history.PodWhy.Verdict, script: true}), draw(m, content{verdict: history.PodWhy.Verdict, from: from, script: true})
	if len(late.Bars) == 0 || len(late.Bars) >= len(whole.Bars) || len(late.Marks) == 0 || len(late.Marks) >= len(whole.Marks) {
		t.Errorf("%d of %d bars and %d of %d signs are drawn", len(late.Bars), len(whole.Bars), len(late.Marks), len(whole.Marks))
	}
	for _, b := range late.Bars {
		if b.B < 0 {
			t.Errorf("the bar %s %q was over %d ms before the picture begins", b.Class, b.Title, -b.B)
		}
	}
	for _, s := range late.Marks {
		if s.B < 0 {
			t.Errorf("the sign %s %q was over %d ms before the picture begins", s.Class, s.Title, -s.B)
		}
	}
}

func TestSpansInARowDoNotTouch(t *testing.T) {
	t.Parallel()
	var packed rows
	for _, c := range []struct {
		from, to int64
		row      int
	}{{0, 10, 0}, {11, 20, 1}, {12, 20, 0}, {20, 30, 2}, {22, 30, 0}} {
		if row := packed.fit(c.from, c.to, 2); row != c.row {
			t.Errorf("%d to %d is in row %d, want %d", c.from, c.to, row, c.row)
		}
	}
}

// TestPageOfALongRecord: a page of twenty thousand facts is not too large, and
// says what it leaves out.
func TestPageOfALongRecord(t *testing.T) {
	t.Parallel()
	facts := timelinetest.LongRecord(20_000)
	page := reportOf(t, facts, ReportOptions{})
	if n := len(page); n > 8<<20 {
		t.Errorf("the page has %d bytes", n)
	}
	for _, want := range []string{"The last 2000 of ", "waited longest of "} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say what it leaves out: %q", want)
		}
	}
	if n := strings.Count(page, "<rect"); n > 20_000 {
		t.Errorf("%d rectangles on the page", n)
	}
}

// TestPageOfACrowd: a page of 50 groups and 1,000 pods is small enough to be drawn again
// for each update.
func TestPageOfACrowd(t *testing.T) {
	t.Parallel()
	page := reportOf(t, timelinetest.Crowd(50, 20), ReportOptions{Version: "1"})
	if n := len(page); n > 4<<20 {
		t.Errorf("the page has %d bytes", n)
	}
	if n := strings.Count(page, "<"); n > 100_000 {
		t.Errorf("the page has %d tags", n)
	}
	for _, want := range []string{"<b>1000 pods</b>", "<b>50 ▲ 25 ▼</b>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %s", want)
		}
	}
}

// largeGroup is the record of a group that was scaled up from nothing for as many pods as it has
// nodes.
func largeGroup(nodes int) []timeline.Fact {
	b := timelinetest.New()
	b.Group("large", 0, nodes, 0)
	b.Group("small", 0, 3, 2)
	b.ScaleUp(20, "large", nodes, b.Pods(10, "load", nodes)...)
	return b.Record()
}

// TestLargeGroupIsFolded: all nodes of a group of hundreds are drawn, and the page can still be
// read and loaded. The nodes of a small group are as tall as ever.
func TestLargeGroupIsFolded(t *testing.T) {
	t.Parallel()
	const nodes = 300
	facts := largeGroup(nodes)
	svg := svgOf(t, facts)
	wellFormed(t, svg)
	heights := map[string]int{}
	for _, m := range regexp.MustCompile(`(?s)<g class="bar node">.*?<rect [^>]*? height="(\d+)"`).FindAllStringSubmatch(svg, -1) {
		heights[m[1]]++
	}
	if heights["3"] != nodes || heights["15"] != 2 || len(heights) != 2 {
		t.Errorf("the numbers of nodes by their heights are %v", heights)
	}
	height, err := strconv.Atoi(regexp.MustCompile(`<svg [^>]*? height="(\d+)"`).FindStringSubmatch(svg)[1])
	if err != nil || height < nodes*3 || height > 3000 {
		t.Errorf("the picture is %d pixels high: %v", height, err)
	}
	page := reportOf(t, facts, ReportOptions{Version: "1"})
	if n := len(page); n > 4<<20 {
		t.Errorf("the page has %d bytes", n)
	}
	if want := "pods on the folded nodes of large: 300"; !strings.Contains(page, want) {
		t.Errorf("the page does not say %q", want)
	}
}

func BenchmarkPageOfALargeGroup(b *testing.B) {
	facts := largeGroup(300)
	for b.Loop() {
		if err := Report(io.Discard, facts, ReportOptions{Version: "1"}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPageListsWhatIsNotDrawn(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Group("crowd", 0, 1000, maxNodeRows+7)
	for range maxWaiting + 5 {
		b.Pods(10, "many", 1)
	}
	page := reportOf(t, b.Record(), ReportOptions{})
	for _, want := range []string{"Not drawn, to stay readable", "nodes of crowd: 7", "waiting pods: 5"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	d := drawn(timelinetest.LongRecord(20_000))
	if len(d.Marks) > maxMarks || len(d.Bars) > maxNodes+2*maxPods+maxMarks*4 {
		t.Errorf("%d marks and %d bars", len(d.Marks), len(d.Bars))
	}
}

// TestBringUpIsNoScenario: runs of env:up are shown, but not counted as scenarios.
func TestBringUpIsNoScenario(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	at := facts[slices.IndexFunc(facts, func(f timeline.Fact) bool { return f.What == timeline.Recording })].Time
	for _, verdict := range []string{timeline.Failed, timeline.Passed} {
		for _, what := range []string{timeline.Step, verdict} {
			at = at.Add(10 * time.Second)
			facts = append(facts, timeline.Fact{Time: at, Kind: timeline.Lab, What: what, Name: timeline.BringUp, Text: "providers in it", Source: timeline.Own})
		}
	}
	m := history.New(facts[:len(facts)-1])
	if live := strings.Join(frame(m, at.Add(5*time.Second), 200, 60, false), "\n"); !strings.Contains(live, "  env:up: 15s") || strings.Contains(live, "scenario env:up") {
		t.Errorf("the live view does not show that env:up runs:\n%s", live)
	}
	page := html.UnescapeString(reportOf(t, facts, ReportOptions{}))
	if !strings.Contains(page, "1 ✓ 1 ✗ 0 !") || strings.Contains(page, "scenario env:up") || !strings.Contains(page, "env:up: failed") {
		t.Error("the page does not show two runs of env:up beside two scenarios, one passed and one failed")
	}
	var out bytes.Buffer
	var f Findings
	err := JSON(&out, facts, JSONOptions{})
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &f)
	}
	if len(f.Scenarios) != 2 || len(f.BringUps) != 2 || f.BringUps[0].Verdict != timeline.Failed || f.BringUps[1].Verdict != timeline.Passed || len(f.BringUps[1].Steps) != 1 {
		t.Errorf("%v; scenarios %+v, bring-ups %+v", err, f.Scenarios, f.BringUps)
	}
}

// TestJSONHasTheFactsAndTheFindings reads the JSON back and compares it with the
// model.
func TestJSONHasTheFactsAndTheFindings(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	var out bytes.Buffer
	if err := JSON(&out, append(facts, facts...), JSONOptions{Title: "Scenarios"}); err != nil {
		t.Fatal(err)
	}
	var f Findings
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	m := history.New(facts)
	if f.Version != 1 || f.Title != "Scenarios" || len(f.Facts) != len(m.Facts) || len(f.Pods) != len(m.PodWhys()) || len(f.Nodes) != len(m.Nodes) ||
		len(f.Groups) != len(m.Groups) || len(f.Decisions) != len(m.Decisions) || len(f.Autoscaler) != 2 || len(f.Gaps) != 2 || len(f.Scenarios) != 2 {
		t.Errorf("%d facts, %d pods, %d nodes", len(f.Facts), len(f.Pods), len(f.Nodes))
	}
	i := slices.IndexFunc(f.Pods, func(p PodFinding) bool { return p.Name == "default/scale-up-6cf9d-09458" })
	if i < 0 || f.Pods[i].Group != "work-md-1" || !f.Pods[i].NewNode || f.Pods[i].Waiting || len(f.Pods[i].Parts) != 6 || f.Pods[i].WaitedSeconds < 60 {
		t.Errorf("the pod at %d of %d is not as it ran", i, len(f.Pods))
	}
	i = slices.IndexFunc(f.Nodes, func(n NodeFinding) bool { return n.Removal != nil })
	if i < 0 || f.Nodes[i].Removal.Seconds <= 0 || !f.Nodes[i].Removal.Done || len(f.Nodes[i].Kept) == 0 {
		t.Errorf("the removal at %d of %d nodes is not as it was", i, len(f.Nodes))
	}

	// The bytes are compared too, so that nobody renames a field by accident.
	out.Reset()
	b := timelinetest.New()
	b.Start = time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	pods := b.Pods(10, "web", 1)
	b.ScaleUp(20, "md-1", 3, pods...)
	if err := JSON(&out, b.Record(), JSONOptions{}); err != nil {
		t.Fatal(err)
	}
	// Only the verdicts contain the local time of day.
	golden.Check(t, "findings.json", regexp.MustCompile(` at \d\d:\d\d:\d\d`).ReplaceAllString(out.String(), " at TIME"))
	out.Reset()
	if err := JSON(&out, nil, JSONOptions{}); err != nil || strings.Contains(out.String(), "null") {
		t.Errorf("of an empty record: %v %s", err, out.String())
	}
}

// TestVerdictsOfOthersAreShown: the page, the picture and the JSON say of a pod what the caller says of it,
// who is asked once for each pod.
func TestVerdictsOfOthersAreShown(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	asked := map[string]int{}
	say := func(_ *history.Model, w history.PodWhy) string {
		asked[w.Pod.Name]++
		return "waits for the judge of " + w.Pod.Name
	}
	page := reportOf(t, facts, ReportOptions{Verdict: say})
	for pod, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times for %s", n, pod)
		}
	}
	var svg, data strings.Builder
	if err := errors.Join(SVG(&svg, facts, SVGOptions{Verdict: say}), JSON(&data, facts, JSONOptions{Verdict: say})); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"page": page, "picture": svg.String(), "JSON": data.String()} {
		for _, w := range history.New(facts).PodWhys() {
			if !strings.Contains(html.UnescapeString(text), "waits for the judge of "+w.Pod.Name) || w.Pod.Pending() && strings.Contains(html.UnescapeString(text), w.Verdict()) {
				t.Errorf("the %s does not say of %s what the caller says", what, w.Pod.Name)
			}
		}
	}
}

// TestPodsThatOnlyTheAutoscalerNamesAreFolded: they are one row of bars, beside the pods that still wait.
func TestPodsThatOnlyTheAutoscalerNamesAreFolded(t *testing.T) {
	t.Parallel()
	svg := svgOf(t, timelinetest.Mentioned(300, 30))
	wellFormed(t, svg)
	heights := map[string]int{}
	for _, m := range regexp.MustCompile(`(?s)<g class="bar pod">.*?<rect [^>]*? height="(\d+)"`).FindAllStringSubmatch(svg, -1) {
		heights[m[1]]++
	}
	if heights["15"] != 29 || heights["5"] != 10 || len(heights) != 2 {
		t.Errorf("the numbers of bars of pods by their heights are %v, want 29 waves and 10 pods", heights)
	}
	for _, want := range []string{"10 pods known only from the autoscaler", "300 pods,"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
}

// BenchmarkReportOfPodsThatOnlyTheAutoscalerNames: the page, the picture and the JSON of half an hour with 5,000
// such pods and 300 nodes.
func BenchmarkReportOfPodsThatOnlyTheAutoscalerNames(b *testing.B) {
	facts := timelinetest.Mentioned(5000, 300)
	for b.Loop() {
		if err := errors.Join(Report(io.Discard, facts, ReportOptions{}), SVG(io.Discard, facts, SVGOptions{}), JSON(io.Discard, facts, JSONOptions{})); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(facts)), "facts")
}
