//! Templates of manifests. A value in `{{ }}` is written as one YAML scalar, in quotes where it needs them, so that no
//! value changes the structure around it.

use anyhow::{Context as _, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};

use super::node::ManifestNode;
use super::yaml;

/// The text of a template with these values.
pub fn fill(template: &'static str, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, _, value| {
        let text = match value.as_str() {
            Some(text) if !value.is_safe() => yaml::scalar(text),
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        Ok(out.write_str(&text)?)
    });
    // The templates are constants: an error is a mistake in one of them.
    environment
        .render_str(template, values)
        .context("the template of the output")
}

/// Lines that are inserted as they are, at the start of a line of the template and in front of a line break.
pub fn lines(text: String) -> Value {
    Value::from_safe_string(text.trim_end().to_owned())
}

/// A node as lines with this indentation.
pub fn node(node: &ManifestNode, indent: usize) -> Value {
    lines(yaml::block(node, indent))
}

/// A list of texts.
pub fn texts<T: AsRef<str>>(all: &[T]) -> Value {
    all.iter().map(|text| Value::from(text.as_ref())).collect()
}

/// A text with each line that is not empty indented.
pub fn indented(text: &str, indent: usize) -> String {
    let mut all = String::new();
    for line in text.lines() {
        let line = line.trim_end();
        if !line.is_empty() {
            all.push_str(&" ".repeat(indent));
            all.push_str(line);
        }
        all.push('\n');
    }
    all
}

/// A text inside a comment, without characters that would end it.
pub fn comment(text: &str) -> Value {
    Value::from_safe_string(yaml::printable(text))
}
