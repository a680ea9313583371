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
)

//go:embed drawing.svg.tmpl
var drawingTemplate string

// SVGOptions of SVG.
type SVGOptions struct {
	// From is where the time axis begins; if zero, or if nothing was recorded
	// since, shortly before the record does.
	From time.Time
}

// SVG writes the report's picture alone, as it is before a reader zooms: 1200
// pixels wide, without a script, legible on white and on black. A comment on a
// merge request can show it.
func SVG(w io.Writer, facts []timeline.Fact, opts SVGOptions) error {
	t, err := template.New("svg").Funcs(drawingFuncs).Parse(drawingTemplate)
	if err != nil {
		return fmt.Errorf("read the picture's template: %w", err)
	}
	m := history.New(facts)
	d := draw(m, opts.From, false)
	if len(m.Facts) == 0 {
		d.lane(axisHeight, 40, "nothing is on record")
		d.Height, d.Ticks = axisHeight+44, nil
	}
	if err := t.ExecuteTemplate(w, "drawing", d); err != nil {
		return fmt.Errorf("draw the timeline: %w", err)
	}
	return nil
}

// opacities are of bars that lie over others.
var opacities = map[string]template.HTMLAttr{"gap": ` fill-opacity=".16"`, "size": ` fill-opacity="0"`}

// drawingFuncs are for the template's arithmetic.
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

// nameWidth is how many characters the gutter has room for.
const nameWidth = 24
