//! Terminal output: permanent lines, a moving last line, and the same lines as an SVG picture.
//!
//! Colours tell v1, v2 and failures apart; block characters do so without colours.

use std::io::{self, IsTerminal, Write};

const COLUMNS: usize = 80;
const ERASE_LINE: &str = "\r\x1b[2K";

/// Appearance of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Ordinary text.
    Plain,
    /// A heading.
    Bold,
    /// A remark.
    Dim,
    /// A success.
    Good,
    /// A failure.
    Bad,
    /// Something about v1.
    V1,
    /// Something about v2.
    V2,
}

impl Look {
    const fn ansi(self) -> &'static str {
        match self {
            Look::Plain => "0",
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Bad => "31",
            Look::V1 => "36",
            Look::V2 => "33",
        }
    }

    const fn svg(self) -> &'static str {
        match self {
            Look::Plain => "#d8dee9",
            Look::Bold => "#ffffff",
            Look::Dim => "#8b93a3",
            Look::Good => "#a3be8c",
            Look::Bad => "#ff6b75",
            Look::V1 => "#5fb3d9",
            Look::V2 => "#f0a63c",
        }
    }
}

/// Part of a line.
pub type Span = (Look, String);

/// Standard output, with all permanent lines.
pub struct Screen {
    moves: bool,
    colours: bool,
    lines: Vec<Vec<Span>>,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen::new()
    }
}

impl Screen {
    /// Standard output. Colours need a terminal and an empty `NO_COLOR`.
    pub fn new() -> Screen {
        let terminal = io::stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            moves: terminal,
            colours: terminal && !unwanted,
            lines: Vec::new(),
        }
    }

    /// An empty line.
    pub fn gap(&mut self) -> io::Result<()> {
        self.line(Look::Plain, "")
    }

    /// One line of any length.
    pub fn line(&mut self, look: Look, text: &str) -> io::Result<()> {
        self.spans(vec![(look, text.to_owned())])
    }

    /// One line of several parts.
    pub fn spans(&mut self, spans: Vec<Span>) -> io::Result<()> {
        let begin = if self.moves { ERASE_LINE } else { "" };
        print(&format!("{begin}{}\n", self.painted(&spans)))?;
        self.lines.push(spans);
        Ok(())
    }

    /// A text broken between words, indented by this many columns.
    pub fn text(&mut self, look: Look, indent: usize, text: &str) -> io::Result<()> {
        for line in broken(text, COLUMNS.saturating_sub(indent)) {
            self.line(look, &format!("{:indent$}{line}", ""))?;
        }
        Ok(())
    }

    /// A line that the next one replaces; only on a terminal.
    pub fn frame(&self, spans: &[Span]) -> io::Result<()> {
        if self.moves {
            print(&format!("{ERASE_LINE}{}", self.painted(spans)))?;
        }
        Ok(())
    }

    fn painted(&self, spans: &[Span]) -> String {
        let paint = |(look, text): &Span| match look {
            Look::Plain => text.clone(),
            _ if !self.colours => text.clone(),
            look => format!("\x1b[{}m{text}\x1b[0m", look.ansi()),
        };
        spans.iter().map(paint).collect()
    }

    /// All permanent lines as an SVG picture.
    pub fn svg(&self) -> String {
        const LINE: usize = 18;
        let height = (self.lines.len() + 2) * LINE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" \
             font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, monospace\" font-size=\"13\">\n\
             <rect width=\"760\" height=\"{height}\" rx=\"8\" fill=\"#20242c\"/>\n"
        );
        for (spans, nth) in self.lines.iter().zip(2..) {
            let y = nth * LINE - 4;
            svg.push_str(&format!("<text x=\"16\" y=\"{y}\" xml:space=\"preserve\">"));
            for (look, text) in spans {
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                let weight = match look {
                    Look::Bold => " font-weight=\"bold\"",
                    _ => "",
                };
                let colour = look.svg();
                svg.push_str(&format!("<tspan fill=\"{colour}\"{weight}>{text}</tspan>"));
            }
            svg.push_str("</text>\n");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    // A pipe would otherwise delay the line.
    stdout.flush()
}

/// Lines of at most `columns` characters unless a single word is longer.
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

    #[test]
    fn the_picture_has_a_colour_for_each_part() {
        let mut screen = Screen::new();
        let spans = vec![(Look::V1, "a<".to_owned()), (Look::V2, "b".to_owned())];
        screen.spans(spans).unwrap();
        let svg = screen.svg();
        assert!(
            svg.contains("<tspan fill=\"#5fb3d9\">a&lt;</tspan>"),
            "{svg}"
        );
        assert!(svg.contains("<tspan fill=\"#f0a63c\">b</tspan>"), "{svg}");
    }
}
