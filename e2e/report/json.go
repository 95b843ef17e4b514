package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/svclab/svclab/e2e/reach"
)

// JSON writes the run in full, as [Decode] reads it. Times are nanoseconds in fields named ...Ns.
func JSON(w io.Writer, run Run) error {
	run.APIVersion, run.Kind, run.Powers = APIVersion, Kind, reach.Powers(run.Verdicts)
	return encodeJSON(w, "the run", " ", run)
}

func encodeJSON(w io.Writer, what, indent string, document any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(document); err != nil {
		return fmt.Errorf("encode %s as JSON: %w", what, err)
	}
	return nil
}

// Decode reads what [JSON] wrote. It is strict: an unknown field, another apiVersion or kind, an unknown result, and
// text after the document are errors.
func Decode(r io.Reader) (Run, error) {
	text, err := readAll(r, maxFile)
	if err != nil {
		return Run{}, fmt.Errorf("read a run: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return Run{}, fmt.Errorf("read a run: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Run{}, errors.New("read a run: something follows the JSON document; a result file holds exactly one run")
	}
	var run Run
	if err := decodeStrict(raw, Kind, &run); err != nil {
		return Run{}, fmt.Errorf("read a run: %w", err)
	}
	return run, checkResults(run)
}

// maxFile bounds the files that are read: fifty times the result of the largest suite, dual-stack with every cell.
const maxFile = 256 << 20

// readAll reads a file of at most that many bytes.
func readAll(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("it is larger than %d bytes, so svclab did not write it", most)
	}
	return text, err
}

// decodeStrict reads a document, and refuses unknown fields. It refuses another version or kind before it reads the fields:
// they may differ.
func decodeStrict(raw []byte, kind string, into any) error {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if head.APIVersion != APIVersion || head.Kind != kind {
		return fmt.Errorf("it has apiVersion %q and kind %q, and this program reads %q and %q: run svclab again, or use the version of svclab that wrote the file",
			head.APIVersion, head.Kind, APIVersion, kind)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// checkResults refuses unknown results: a misspelt one would not be counted.
func checkResults(run Run) error {
	for _, v := range run.Verdicts {
		errs := []error{checkResult(v.Result, "scenario "+v.Scenario)}
		for _, s := range v.Steps {
			where := fmt.Sprintf("step %q of scenario %s", s.Name, v.Scenario)
			errs = append(errs, checkResult(s.Result, where))
			for _, t := range s.Tables {
				for _, c := range t.Cells {
					errs = append(errs, checkResult(c.Result, "a cell of "+where))
				}
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

func checkResult(r reach.Result, where string) error {
	switch r {
	case reach.Pass, reach.Fail, reach.Inconclusive, reach.Skipped:
		return nil
	}
	return fmt.Errorf("read a run: %s has the unknown result %q", where, r)
}
