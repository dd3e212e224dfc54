// Records what Ollama's own template package, and Go's text/template below it, make of templates and
// conversations. From the root of the repository:
//
//	cargo run -p llamakit-chattests --example go_templates > /tmp/templates.json
//	cd chattests/record/go && go run . ../../golden/go /tmp/templates.json
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	gotemplate "text/template"
	"time"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/template"
)

// conversation is a request of Ollama's API, as far as templates see it.
type conversation struct {
	Messages []api.Message
	Tools    api.Tools
	Think    *api.ThinkValue
	Prompt   string
	Suffix   string
}

// result is a prompt or why there is none. The prompts of templates that are not marked as full are
// recorded as the first half of their SHA-256.
type result struct {
	Output *string `json:"output,omitempty"`
	Digest string  `json:"sha256,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// address matches what differs each time.
var address = regexp.MustCompile("0x[0-9a-f]{6,}")

type source struct {
	Name   string
	Source string
	Full   bool
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: record GOLDEN-FOLDER TEMPLATES.json")
	}
	golden := os.Args[1]
	today := time.Now().Format(time.DateOnly)

	var table struct {
		Data      map[string]any
		Templates []string
	}
	read(filepath.Join(golden, "table-input.json"), &table)
	var rows []map[string]any
	for _, text := range table.Templates {
		output, err := plain(text, table.Data)
		rows = append(rows, row(text, output, err))
	}
	write(filepath.Join(golden, "table.json"), rows)

	var templates []source
	read(os.Args[2], &templates)
	var own []string
	read(filepath.Join(golden, "own-templates.json"), &own)
	for _, text := range own {
		templates = append(templates, source{Name: text, Source: text, Full: true})
	}
	var conversations map[string]json.RawMessage
	read(filepath.Join(golden, "conversations.json"), &conversations)
	prompts := map[string]map[string]result{}
	vars := map[string][]string{}
	for _, source := range templates {
		prompts[source.Name] = map[string]result{}
		if parsed, err := template.Parse(source.Source); err == nil {
			vars[source.Name], _ = parsed.Vars()
		}
		for name, raw := range conversations {
			output, err := ollama(source.Source, raw)
			prompts[source.Name][name] = recorded(source.Full, output, err)
		}
	}
	if today != time.Now().Format(time.DateOnly) {
		fail("the date changed while recording; record again")
	}
	write(filepath.Join(golden, "prompts.json"), map[string]any{
		"versions": versions(),
		"today":    today,
		"vars":     vars,
		"prompts":  prompts,
	})
}

func versions() map[string]string {
	versions := map[string]string{"go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasSuffix(dep.Path, "/ollama") {
				versions[dep.Path] = dep.Version
			}
		}
	}
	return versions
}

func recorded(full bool, output string, err error) result {
	switch {
	case err != nil:
		return result{Error: address.ReplaceAllString(err.Error(), "0x…")}
	case full:
		return result{Output: &output}
	default:
		sum := sha256.Sum256([]byte(output))
		return result{Digest: hex.EncodeToString(sum[:16])}
	}
}

func row(text, output string, err error) map[string]any {
	if err != nil {
		return map[string]any{"template": text, "error": err.Error()}
	}
	return map[string]any{"template": text, "output": output}
}

// plain executes with text/template alone, with the option that Ollama sets.
func plain(text string, data map[string]any) (string, error) {
	parsed, err := gotemplate.New("").Option("missingkey=zero").Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return "", err
	}
	return out.String(), nil
}

// ollama executes with Ollama's package on a fresh copy of the conversation, since it changes messages.
func ollama(text string, raw json.RawMessage) (output string, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	parsed, err := template.Parse(text)
	if err != nil {
		return "", err
	}
	var in conversation
	if err := json.Unmarshal(raw, &in); err != nil {
		fail(err.Error())
	}
	for _, message := range in.Messages {
		for i := range message.ToolCalls {
			message.ToolCalls[i].Function.Index = i
		}
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, template.Values{
		Messages:   in.Messages,
		Tools:      in.Tools,
		Prompt:     in.Prompt,
		Suffix:     in.Suffix,
		Think:      in.Think.Bool(),
		ThinkLevel: in.Think.String(),
		IsThinkSet: in.Think != nil,
	})
	if err != nil {
		return "", err
	}
	return out.String(), nil
}

func read(path string, into any) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		fail(path + ": " + err.Error())
	}
}

func write(path string, value any) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(value)
	if err == nil {
		err = os.WriteFile(path, out.Bytes(), 0o644)
	}
	if err != nil {
		fail(path + ": " + err.Error())
	}
}

func fail(cause string) {
	fmt.Fprintln(os.Stderr, cause)
	os.Exit(1)
}
