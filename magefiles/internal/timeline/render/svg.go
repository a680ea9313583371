package render

import (
	_ "embed" // the drawing's template
	"fmt"
	"html/template"
	"io"
	"time"

	"caslab/magefiles/internal/ui"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
)

//go:embed drawing.svg.tmpl
var drawingTemplate string

// SVGOptions of SVG.
type SVGOptions struct {
	// From is the time at which the axis begins. If zero, or if nothing was recorded
	// since, it begins shortly before the record does.
	From time.Time
	// Verdict says what became of a pod.
	Verdict Verdict
}

// SVG writes the picture of the report alone, 1200 pixels wide, without a script and
// legible on white and on black: a comment on a merge request can show it.
func SVG(w io.Writer, facts []timeline.Fact, opts SVGOptions) error {
	t, err := template.New("svg").Funcs(drawingFuncs).Parse(drawingTemplate)
	if err != nil {
		return fmt.Errorf("read the picture's template: %w", err)
	}
	m := history.New(facts)
	d := draw(m, content{numbers: levels.Of(facts), verdict: opts.Verdict.of(m), from: opts.From})
	if len(m.Facts) == 0 {
		d.lane(axisHeight, 40, "nothing is on record")
		d.Height, d.Ticks = axisHeight+44, nil
	}
	if err := t.ExecuteTemplate(w, "drawing", d); err != nil {
		return fmt.Errorf("draw the timeline: %w", err)
	}
	return nil
}

// opacities has the opacities, by class, of bars that are drawn over others.
var opacities = map[string]template.HTMLAttr{"gap": ` fill-opacity=".16"`, "size": ` fill-opacity="0"`}

// drawingFuncs are the functions of the template.
var drawingFuncs = template.FuncMap{
	"add": func(all ...int) int {
		sum := 0
		for _, n := range all {
			sum += n
		}
		return sum
	},
	"mul":     func(a, b int) int { return a * b },
	"fit":     func(name string) string { return ui.Clip(name, nameWidth) },
	"opacity": func(class string) template.HTMLAttr { return opacities[class] },
}

// nameWidth is the room in the gutter, in characters.
const nameWidth = 24
