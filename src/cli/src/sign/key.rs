//! `divvy sign key`.

use std::io::Write as _;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::json;

use super::random;
use crate::output::{Format, print_json};

/// Arguments of `divvy sign key`.
#[derive(Args, Debug)]
#[command(after_help = "\
Prints an entry of DIVVY_KEYS. Keep it in a Secret; to rotate, append it to the other keys, then move it
first, then drop the old key (envoy/docs/WHO_CAN_CHOOSE.md).

Examples:
  divvy sign key --id 2027a > target/keys")]
pub struct KeyArgs {
    /// Id of the key: 1 to 8 lower-case letters and digits; random by default
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
}

pub(super) fn run(args: &KeyArgs, format: Format) -> Result<()> {
    let id = match &args.id {
        Some(id) => id.clone(),
        None => u32::from_be_bytes(random()?)
            .to_be_bytes()
            .map(|byte| format!("{byte:02x}"))
            .concat(),
    };
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    ensure!(
        (1..=8).contains(&id.len()) && id.bytes().all(is_letter),
        "{id:?} is not an id: write 1 to 8 lower-case letters and digits"
    );
    let key = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let mut out = anstream::stdout().lock();
    match format {
        Format::Json => print_json(&json!({"id": id, "entry": format!("{id}:{key}")}), &mut out),
        _ => Ok(writeln!(out, "{id}:{key}")?),
    }
}
