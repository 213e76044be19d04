//! What the tour shows: lines that stay, and on a terminal one at the end that moves.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
}

impl Look {
    const fn code(self) -> &'static str {
        match self {
            Look::Plain => "0",
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Bad => "31",
        }
    }

    /// The same on the picture.
    const fn colour(self) -> &'static str {
        match self {
            Look::Plain => "#d8dee9",
            Look::Bold => "#ffffff",
            Look::Dim => "#8b93a3",
            Look::Good => "#a3be8c",
            Look::Bad => "#e06c75",
        }
    }
}

/// Standard output, and all lines that stayed.
pub struct Screen {
    moving: bool,
    colours: bool,
    fast: bool,
    lines: Vec<(Look, String)>,
}

impl Screen {
    pub fn new(fast: bool) -> Screen {
        let terminal = io::stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            moving: terminal,
            colours: terminal && !unwanted,
            fast,
            lines: Vec::new(),
        }
    }

    /// How long to watch something: a fourth for who is in a hurry.
    pub fn pace(&self, usual: Duration) -> Duration {
        if self.fast { usual / 4 } else { usual }
    }

    /// A short pause between visitors, or nobody could watch them come.
    pub async fn pause(&self, usual: Duration) {
        tokio::time::sleep(self.pace(usual)).await;
    }

    pub fn gap(&mut self) {
        self.line(Look::Plain, "");
    }

    /// A line that stays.
    pub fn line(&mut self, look: Look, text: &str) {
        let begin = if self.moving { "\r\x1b[2K" } else { "" };
        let painted = self.painted(look, text);
        self.lines.push((look, text.to_owned()));
        print(&format!("{begin}{painted}\n"));
    }

    /// A line that the next one takes the place of. Nothing where nothing can move.
    pub fn frame(&self, text: &str) {
        if self.moving {
            print(&format!("\r\x1b[2K  {text}"));
        }
    }

    fn painted(&self, look: Look, text: &str) -> String {
        if !self.colours || look == Look::Plain {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", look.code())
    }

    /// All lines that stayed, as a picture.
    pub fn svg(&self) -> String {
        const LINE: usize = 18;
        let height = (self.lines.len() + 2) * LINE;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" \
             font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, monospace\" font-size=\"13\">\n\
             <rect width=\"760\" height=\"{height}\" rx=\"8\" fill=\"#20242c\"/>\n"
        );
        for (nth, (look, text)) in self.lines.iter().enumerate() {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let weight = if *look == Look::Bold {
                " font-weight=\"bold\""
            } else {
                ""
            };
            svg.push_str(&format!(
                "<text x=\"16\" y=\"{}\" fill=\"{}\"{weight} xml:space=\"preserve\">{text}</text>\n",
                (nth + 2) * LINE - 4,
                look.colour(),
            ));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn print(text: &str) {
    // Who closed the pipe has seen enough; the tour ends by itself.
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
