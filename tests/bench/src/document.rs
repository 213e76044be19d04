//! Parts of a page that the bench writes.
//!
//! They are between `<!-- bench NAME -->` and `<!-- /bench -->`, each on a line of its own.

use anyhow::{Context, Result};

const END: &str = "<!-- /bench -->";

/// Replaces the text of the part with this name.
pub fn replace(page: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- bench {name} -->\n");
    let missing = || format!("the page has no part <!-- bench {name} --> … {END}");
    let (before, rest) = page.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{begin}{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_replaced_and_the_rest_stays() {
        let page =
            "a\n<!-- bench x -->\nold\n<!-- /bench -->\nb\n<!-- bench y -->\n<!-- /bench -->\n";
        let page = replace(page, "x", "new\n").unwrap();
        let page = replace(&page, "y", "too\n").unwrap();
        let expected = "a\n<!-- bench x -->\nnew\n<!-- /bench -->\nb\n<!-- bench y -->\ntoo\n<!-- /bench -->\n";
        assert_eq!(page, expected);
    }

    #[test]
    fn a_page_without_the_part_is_an_error() {
        let error = replace("a", "x", "new").unwrap_err().to_string();
        assert!(error.contains("<!-- bench x -->"), "{error}");
    }
}
