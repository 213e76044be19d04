package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// editText edits the rollout with this name in a text: divvy's configuration as YAML or JSON, or an Envoy file
// that contains it. Comments and the order of keys stay.
func editText(text, name string, change edit) (string, bool, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var documents []*yaml.Node
	found := false
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			// Another file of the ConfigMap, which need not be YAML.
			return text, false, nil
		}
		// A text that is only a scalar would contain itself.
		if !found && document.Content[0].Kind == yaml.MappingNode {
			if found, err = editNode(&document, name, change); err != nil {
				return text, false, err
			}
		}
		documents = append(documents, &document)
	}
	if !found {
		return text, false, nil
	}
	if json.Valid([]byte(text)) {
		edited, err := jsonText(documents[0])
		return edited, true, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	for _, document := range documents {
		if err := encoder.Encode(document); err != nil {
			return text, false, err
		}
	}
	err := encoder.Close()
	return out.String(), true, err
}

// editNode searches a node and everything below it, also texts that are YAML themselves.
func editNode(node *yaml.Node, name string, change edit) (bool, error) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" && strings.Contains(node.Value, "rollouts") {
		edited, found, err := editText(node.Value, name, change)
		if found && err == nil {
			node.Value = edited
		}
		return found, err
	}
	if rollouts := child(node, "rollouts"); rollouts != nil {
		for _, rollout := range rollouts.Content {
			if key := child(rollout, "name"); key == nil || key.Value != name {
				continue
			}
			return true, editRollout(rollout, change)
		}
	}
	for _, content := range node.Content {
		if found, err := editNode(content, name, change); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func editRollout(node *yaml.Node, change edit) error {
	before, after := map[string]any{}, map[string]any{}
	if err := errors.Join(node.Decode(&before), node.Decode(&after)); err != nil {
		return err
	}
	if err := change(after); err != nil {
		return err
	}
	return merge(node, before, after)
}

// merge writes the differences between two values of a mapping into its node.
func merge(node *yaml.Node, before, after map[string]any) error {
	for key := range before {
		if _, kept := after[key]; !kept {
			remove(node, key)
		}
	}
	for key, value := range after {
		old, had := before[key]
		if had && reflect.DeepEqual(old, value) {
			continue
		}
		oldMap, wasMap := old.(map[string]any)
		newMap, isMap := value.(map[string]any)
		existing := child(node, key)
		if wasMap && isMap && existing != nil {
			if err := merge(existing, oldMap, newMap); err != nil {
				return err
			}
			continue
		}
		var encoded yaml.Node
		if err := encoded.Encode(value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if encoded.Tag == "!!str" {
			// A hash can look like a number.
			encoded.Style = yaml.DoubleQuotedStyle
		}
		if existing == nil {
			name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
			node.Content = append(node.Content, name, &encoded)
			continue
		}
		encoded.LineComment = existing.LineComment
		*existing = encoded
	}
	return nil
}

// child is the value of a key of a mapping, or nil.
func child(node *yaml.Node, key string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func remove(node *yaml.Node, key string) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			node.Content = append(node.Content[:i], node.Content[i+2:]...)
			return
		}
	}
}

// jsonText is a document as indented JSON, with the order of its keys.
func jsonText(node *yaml.Node) (string, error) {
	var compact, out bytes.Buffer
	if err := writeJSON(&compact, node); err != nil {
		return "", err
	}
	err := json.Indent(&out, compact.Bytes(), "", "  ")
	out.WriteByte('\n')
	return out.String(), err
}

func writeJSON(out *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.DocumentNode:
		return writeJSON(out, node.Content[0])
	case yaml.MappingNode, yaml.SequenceNode:
		start, end := byte('['), byte(']')
		if node.Kind == yaml.MappingNode {
			start, end = '{', '}'
		}
		out.WriteByte(start)
		for i, content := range node.Content {
			if i > 0 {
				separator := byte(',')
				if node.Kind == yaml.MappingNode && i%2 == 1 {
					separator = ':'
				}
				out.WriteByte(separator)
			}
			if err := writeJSON(out, content); err != nil {
				return err
			}
		}
		out.WriteByte(end)
		return nil
	}
	if node.Tag != "!!str" {
		// The literals of numbers, true, false and null are those of the source.
		out.WriteString(node.Value)
		return nil
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(node.Value)
}
