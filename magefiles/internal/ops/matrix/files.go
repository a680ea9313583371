package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caslab/magefiles/internal/capi/release/proof"
	"caslab/magefiles/internal/state"
)

// Files of the checkout that have the matrix, relative to its root.
var (
	proofFile  = filepath.Join("magefiles", "internal", "capi", "release", "proof", "proof.yaml")
	readmeFile = "README.md"
)

// files are the files of a checkout that have the matrix.
type files struct{ root string }

// read returns the records. It returns an error if a record could not be written later.
func (f files) read() ([]proof.Record, error) {
	data, err := os.ReadFile(filepath.Join(f.root, proofFile))
	if err != nil {
		return nil, fmt.Errorf("%s is no checkout of the lab, in which the results are recorded: %w", f.root, err)
	}
	proofs, err := proof.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", proofFile, err)
	}
	_, err = f.readme(proofs)
	return proofs, err
}

// readme returns the text of the README with the matrix of the records.
func (f files) readme(proofs []proof.Record) (string, error) {
	data, err := os.ReadFile(filepath.Join(f.root, readmeFile))
	if err != nil {
		return "", fmt.Errorf("read the matrix of the README: %w", err)
	}
	text, err := inReadme(string(data), proofs)
	if err != nil {
		return "", fmt.Errorf("%s: %w", readmeFile, err)
	}
	return text, nil
}

// put records r in both files. It reads them again, because a run takes hours, and a
// person may have changed them meanwhile.
func (f files) put(r proof.Record) error {
	path := filepath.Join(f.root, proofFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("record the row: %w", err)
	}
	if data, err = proof.Put(data, r); err != nil {
		return fmt.Errorf("%s: %w", proofFile, err)
	}
	proofs, err := proof.Read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", proofFile, err)
	}
	readme, err := f.readme(proofs)
	if err != nil {
		return err
	}
	return errors.Join(state.WriteFile(path, data, 0o644), state.WriteFile(filepath.Join(f.root, readmeFile), []byte(readme), 0o644))
}

// markdownHeader has the columns of matrixHeader, as the README names them.
var markdownHeader = []string{"Cluster API", "Kubernetes", "Default", "Autoscaler", "API", "Compiled by", "clusterctl", "Built", "Generated", "Ran"}

// markdown returns the short matrix as a table of the README.
func markdown(proofs []proof.Record) string {
	var table strings.Builder
	table.WriteString(line(markdownHeader) + strings.Repeat("|---", len(markdownHeader)) + "|\n")
	for _, row := range matrixRows(proofs) {
		cells := slices.Clone(row)
		for i, cell := range cells {
			if cell == "-" {
				cells[i] = ""
			}
		}
		table.WriteString(line(cells))
	}
	return table.String()
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// inReadme returns the text of the README with its matrix replaced by that of the
// records. The text must have one table with the columns of the matrix.
func inReadme(readme string, proofs []proof.Record) (string, error) {
	header := line(markdownHeader)
	if n := strings.Count(readme, header); n != 1 {
		return "", fmt.Errorf("it has %d tables that begin with %q; want one", n, strings.TrimSpace(header))
	}
	before, after, _ := strings.Cut(readme, header)
	for strings.HasPrefix(after, "|") {
		_, after, _ = strings.Cut(after, "\n")
	}
	return before + markdown(proofs) + after, nil
}
