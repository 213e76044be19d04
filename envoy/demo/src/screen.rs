//! What the demo prints: plain lines of at most 80 columns, with colours only where a terminal
//! shows them.

use std::io::{self, IsTerminal, Write};

const COLUMNS: usize = 80;

/// How a line looks on a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// As it is.
    Plain,
    /// A heading.
    Bold,
    /// An aside.
    Dim,
    /// All went well.
    Good,
    /// Something wants attention.
    Bad,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Look::Plain => "0",
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Bad => "31",
        }
    }
}

/// Standard output.
pub struct Screen {
    colours: bool,
}

impl Screen {
    /// With colours if it is a terminal and nobody asked for none.
    pub fn new() -> Screen {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            colours: io::stdout().is_terminal() && !unwanted,
        }
    }

    /// An empty line.
    pub fn gap(&self) -> io::Result<()> {
        self.raw("")
    }

    /// One line as it is, however long: a command to be copied, the answer to it.
    pub fn line(&self, look: Look, text: &str) -> io::Result<()> {
        if !self.colours || look == Look::Plain {
            return self.raw(text);
        }
        self.raw(&format!("\x1b[{}m{text}\x1b[0m", look.code()))
    }

    /// A text that is broken between words, every line indented by this much.
    pub fn text(&self, look: Look, indent: usize, text: &str) -> io::Result<()> {
        for line in broken(text, COLUMNS.saturating_sub(indent)) {
            self.line(look, &format!("{:indent$}{line}", ""))?;
        }
        Ok(())
    }

    fn raw(&self, line: &str) -> io::Result<()> {
        // Whoever reads a pipe wants the line now.
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")?;
        stdout.flush()
    }
}

/// Lines of at most `columns` characters, unless a single word is longer.
fn broken(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(broken("a bb  ccc", 4), ["a bb", "ccc"]);
        assert_eq!(broken("longer than it", 6), ["longer", "than", "it"]);
        assert_eq!(broken("a toolong b", 3), ["a", "toolong", "b"]);
        assert_eq!(broken("grün ja", 7), ["grün ja"]);
        assert_eq!(broken("", 4), [""]);
    }
}
