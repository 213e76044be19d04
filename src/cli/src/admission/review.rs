//! Answers an `AdmissionReview` of version v1. Must not depend on HTTP.

use serde::Deserialize;
use serde_json::{Value, json};

use super::verdict::{self, Verdict};

/// The only version of `AdmissionReview` that is answered.
const VERSION: &str = "admission.k8s.io/v1";
/// Label and value of the objects that the shipped webhook asks about.
const LABEL: (&str, &str) = ("divvy", "configuration");
/// Maximum length of a request's uid, which has 36 characters.
const MAX_UID: usize = 128;
/// Maximum number of errors in one answer. kubectl prints them all.
const MAX_ERRORS: usize = 20;
/// Maximum number of warnings in one answer. The API server drops what exceeds 4,096 characters.
const MAX_WARNINGS: usize = 20;
/// Maximum length of one line of an answer, in characters.
const MAX_LINE: usize = 1_000;

/// The answer to a review.
#[derive(Debug)]
pub struct ReviewAnswer {
    /// The `AdmissionReview` with the response.
    pub body: Value,
    /// What was refused and why, for the log.
    pub refused: Option<String>,
}

/// The parts of a review without which there is no answer. Deep objects beside them are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<RequestHead>,
}

#[derive(Deserialize)]
struct RequestHead {
    #[serde(default)]
    uid: String,
}

/// Answers a review; an error says why the body is not one. With `is_strict`, warnings are errors.
pub fn answer(body: &[u8], is_strict: bool) -> Result<ReviewAnswer, String> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| format!("the body is not an AdmissionReview: {error}"))?;
    let Envelope {
        api_version, kind, ..
    } = &envelope;
    if kind != "AdmissionReview" || api_version != VERSION {
        let (version, kind) = (line(api_version), line(kind));
        return Err(format!(
            "the body is {kind:?} of {version:?}: this server answers AdmissionReview of {VERSION}"
        ));
    }
    let request = envelope.request.ok_or("the review has no request")?;
    let uid = request.uid;
    if uid.is_empty() || uid.len() > MAX_UID {
        return Err(format!("request.uid is not a text of 1 to {MAX_UID} bytes"));
    }
    let review: Value = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => {
            let message = format!("the object cannot be read: {error}");
            return Ok(refusal(&uid, "an object", &[message], &[]));
        }
    };
    let request = &review["request"];
    let object = &request["object"];
    let is_deleted = !object["metadata"]["deletionTimestamp"].is_null();
    if object.is_null() || is_deleted {
        return Ok(admission(&uid, &[]));
    }
    let name = name_of(request);
    let pretty = serde_json::to_string_pretty(object).unwrap_or_default();
    let Verdict {
        configurations,
        mut errors,
        mut warnings,
    } = verdict::examine(&name, pretty);
    if is_strict {
        errors.append(&mut warnings);
    }
    if configurations == 0 && errors.is_empty() && is_labelled(object) {
        let (key, value) = LABEL;
        warnings.push(format!(
            "the object has the label {key}: {value} and contains no divvy configuration"
        ));
    }
    if errors.is_empty() {
        return Ok(admission(&uid, &warnings));
    }
    if is_unchanged(object, &request["oldObject"]) {
        // Labels and finalizers of an object that is invalid already can be changed.
        let old = errors.iter();
        let old = old.map(|error| format!("invalid, as it was before this change: {error}"));
        let lines: Vec<String> = old.chain(warnings).collect();
        return Ok(admission(&uid, &lines));
    }
    Ok(refusal(&uid, &name, &errors, &warnings))
}

fn admission(uid: &str, warnings: &[String]) -> ReviewAnswer {
    ReviewAnswer {
        body: respond(json!({"uid": uid, "allowed": true}), warnings),
        refused: None,
    }
}

fn refusal(uid: &str, name: &str, errors: &[String], warnings: &[String]) -> ReviewAnswer {
    let message = capped(errors, MAX_ERRORS, "errors").join("\n");
    let status = json!({"code": 422, "reason": "Invalid", "message": message});
    let response = json!({"uid": uid, "allowed": false, "status": status});
    ReviewAnswer {
        body: respond(response, warnings),
        refused: Some(format!("{name}: {}", message.replace('\n', "; "))),
    }
}

fn respond(mut response: Value, warnings: &[String]) -> Value {
    if !warnings.is_empty() {
        response["warnings"] = capped(warnings, MAX_WARNINGS, "warnings").into();
    }
    json!({"apiVersion": VERSION, "kind": "AdmissionReview", "response": response})
}

/// The first lines, and how many more there are.
fn capped(lines: &[String], most: usize, noun: &str) -> Vec<String> {
    let mut shown: Vec<String> = lines.iter().take(most).map(|text| line(text)).collect();
    let more = lines.len().saturating_sub(most);
    if more > 0 {
        shown.push(format!(
            "and {more} more {noun}: `divvy check` shows them all"
        ));
    }
    shown
}

/// One line of limited length: a header, such as that of a warning, has no control characters.
fn line(text: &str) -> String {
    let printable = text
        .chars()
        .map(|one| if one.is_control() { ' ' } else { one });
    let mut line: String = printable.clone().take(MAX_LINE).collect();
    if printable.count() > MAX_LINE {
        line.push('…');
    }
    line
}

/// Kind, namespace and name of the object, for the log.
fn name_of(request: &Value) -> String {
    let text = |value: &Value| line(value.as_str().unwrap_or_default());
    let kind = text(&request["object"]["kind"]);
    // The name of an object that the API server is to name is empty.
    let [namespace, name] = ["namespace", "name"].map(|field| text(&request[field]));
    format!("{kind} {namespace}/{name}")
}

fn is_labelled(object: &Value) -> bool {
    object["metadata"]["labels"][LABEL.0] == LABEL.1
}

/// Whether an update changes metadata and status only.
fn is_unchanged(object: &Value, old: &Value) -> bool {
    let (Some(object), Some(old)) = (object.as_object(), old.as_object()) else {
        return false;
    };
    let differs = |key: &String| object.get(key) != old.get(key);
    let mut keys = object.keys().chain(old.keys());
    !keys.any(|key| key != "metadata" && key != "status" && differs(key))
}
