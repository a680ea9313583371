package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table is a table of text. End aligns its columns and writes it.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table on w with a header.
func NewTable(w io.Writer, header ...string) *Table {
	t := &Table{w: tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
	t.Row(header...)
	return t
}

// Row adds a row. End returns its error.
func (t *Table) Row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

// End writes the table.
func (t *Table) End() error { return t.w.Flush() }
