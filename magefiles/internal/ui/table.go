package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table is a table of text whose columns are aligned when it ends.
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table on w with a header.
func NewTable(w io.Writer, header ...string) *Table {
	t := &Table{w: tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
	t.Row(header...)
	return t
}

// Row adds a row. What fails is returned by End.
func (t *Table) Row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")) }

// End writes the table.
func (t *Table) End() error { return t.w.Flush() }
