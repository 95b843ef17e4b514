package learn

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

//go:embed classroom
var classroomFiles embed.FS

// workflowFile is where GitHub finds the workflow. GitHub Classroom's own workflows have this name.
const workflowFile = ".github/workflows/classroom.yml"

var (
	releasePattern = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+$`)
	refPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
)

// release is the tag of this svclab if it is a release, else the branch main.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok && releasePattern.MatchString(info.Main.Version) {
		return info.Main.Version
	}
	return "main"
}

// classroom writes a repository for a class: a workflow that grades, and a folder for the answers to each exercise. It writes
// nothing if one of the files exists.
func (s *session) classroom(folder, ref string, wanted []string) error {
	if !refPattern.MatchString(ref) {
		return fmt.Errorf("--ref %q is no tag, branch or commit of svclab", ref)
	}
	names, err := s.assigned(wanted)
	if err != nil {
		return err
	}
	files, family := map[string]string{}, cluster.IPv4
	for name, at := range map[string]string{"workflow.yml": workflowFile, "README.md": "README.md"} {
		data, err := fs.ReadFile(classroomFiles, path.Join("classroom", name))
		if err != nil {
			return fmt.Errorf("export a classroom: %w", err)
		}
		files[at] = strings.ReplaceAll(string(data), "SVCLAB_REF", ref)
	}
	for _, name := range names {
		// addresses of the learner's own cluster would be wrong on another: the placeholders stay
		e, err := s.load(name, course.Values{Pool: "{pool}", Offsubnet: "{offsubnet}", Outside: "{outside}"})
		if err != nil {
			return err
		}
		if slices.Contains(e.Needs.Features, scenario.DualStack) {
			family = cluster.Dual // on such a cluster the others can be graded too
		}
		for file, text := range assignment(e) {
			files[path.Join("exercises", name, file)] = text
		}
	}
	files[workflowFile] = strings.ReplaceAll(files[workflowFile], "CLUSTER_FAMILY", family)
	for name := range files {
		if _, err := os.Lstat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fs.ErrExist
			}
			return fmt.Errorf("export a classroom: %s: %w; nothing was written; name another folder", filepath.Join(folder, name), err)
		}
	}
	for name, text := range files {
		at := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("export a classroom: %w", err)
		}
		if err := create(at, []byte(text)); err != nil {
			return fmt.Errorf("export a classroom: %w", err)
		}
	}
	s.Say(coach.ClassroomMade, folder, len(names))
	return s.Done()
}

// assigned returns the folders of the wanted exercises, in order; all of them if none is wanted.
func (s *session) assigned(wanted []string) ([]string, error) {
	if len(wanted) == 0 {
		return s.source.Names()
	}
	var names []string
	for _, w := range wanted {
		name, err := s.source.Find(w)
		if err != nil {
			return nil, fmt.Errorf("--exercise: %w", err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// assignment is the files of an exercise's folder: the task in both languages, and where the answers go.
func assignment(e course.Exercise) map[string]string {
	readme, answers := "", ""
	for _, l := range course.Languages() {
		if _, known := e.Texts[l]; !known {
			continue // a draft
		}
		readme += "# " + e.ID + " " + e.Title(l) + "\n\n" + e.Say(l, "goal") + "\n\n"
		for _, q := range e.Questions {
			readme += "**" + q.ID + "**: " + e.Say(l, "question/"+q.ID) + "\n\n"
			for _, option := range q.Options {
				readme += "- `" + option + "`: " + e.Say(l, course.OptionID(q.ID, option)) + "\n"
			}
			readme += "\n"
		}
		readme += coach.Say(l, coach.AssignmentHow, course.CommandsFile, course.AnswersFile) + "\n\n"
	}
	for _, q := range e.Questions {
		answers += "# " + strings.Join(q.Options, ", ") + "\n" + field(q.ID, "") + "\n"
	}
	files := map[string]string{"README.md": strings.TrimRight(readme, "\n") + "\n",
		course.CommandsFile: "# kubectl commands, one a line; no shell runs them\n"}
	if answers != "" {
		files[course.AnswersFile] = answers
	}
	return files
}

// field is a line of YAML, quoted where YAML needs that.
func field(key, value string) string {
	data, _ := yaml.Marshal(map[string]string{key: value}) // strings can be encoded
	return strings.TrimSpace(string(data))
}
