//! Commands to try, with their answers. Each command is sent to the running Envoy, so the answers
//! are those of the active configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use divvy_lab::client::Http1;
use divvy_lab::envoy::Envoy;
use serde_json::Value;

const PATH: &str = "/checkout";
/// Number of users in the displayed split.
const USERS: u32 = 100;

/// A command and its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// Title.
    pub title: String,
    /// Shell command.
    pub command: String,
    /// Lines of the answer.
    pub answer: Vec<String>,
    /// Reason why the answer is not the expected one.
    pub fault: Option<String>,
}

/// One answer of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    /// Text of the shop's answer.
    line: String,
    /// Value of the response header.
    assignment: Option<String>,
    /// Reason why the answer is not the expected one.
    fault: Option<String>,
}

/// Sends the commands to the shop.
pub struct Tour {
    client: Http1,
    edge: SocketAddr,
    response_header: Option<String>,
}

impl Tour {
    /// Commands for the shop at `edge` with this active configuration (JSON).
    pub fn new(edge: SocketAddr, configuration: &str) -> Tour {
        // With an invalid configuration divvy serves stable.
        let configuration: Value = serde_json::from_str(configuration).unwrap_or_default();
        Tour {
            client: Http1::new(edge),
            edge,
            response_header: configuration["responseHeader"].as_str().map(str::to_owned),
        }
    }

    /// Name of the response header with the decision.
    pub fn response_header(&self) -> Option<&str> {
        self.response_header.as_deref()
    }

    /// Sends all commands.
    pub async fn steps(&self, envoy: &Envoy) -> Result<Vec<Step>> {
        let users = self.users().await?;
        let first = &users[0];
        // Preferably a user with another version.
        let differs = users.iter().position(|answer| answer.line != first.line);
        let other = differs.unwrap_or(1);
        let tester = self.ask(&[("x-canary", "true")]).await?;
        let forged = [("x-user-id", "1"), ("x-divvy-route", "v3")];
        let mut forger = self.ask(&forged).await?;
        if forger.line != first.line {
            forger.fault = Some("the forged route had an effect".to_owned());
        }
        Ok(vec![
            self.step("one user", &[("x-user-id", "1")], first),
            self.step(
                "another user",
                &[("x-user-id", &(other + 1).to_string())],
                &users[other],
            ),
            self.step(
                "a tester, selected by a header",
                &[("x-canary", "true")],
                &tester,
            ),
            self.step(
                "the first user with a forged route header",
                &forged,
                &forger,
            ),
            Step {
                title: format!("{USERS} users: the split"),
                command: format!(
                    "for i in $(seq {USERS}); do curl -s -H \"x-user-id: $i\" \\\n    \
                     {}{PATH}; done | sort | uniq -c",
                    self.edge
                ),
                answer: tally(&users),
                fault: users.iter().find_map(|user| user.fault.clone()),
            },
            self.metrics(envoy).await?,
        ])
    }

    /// The split of [`USERS`] users in one line.
    pub async fn split(&self) -> Result<String> {
        let tally = tally(&self.users().await?);
        let parts: Vec<_> = tally.iter().map(|line| line.trim()).collect();
        Ok(format!("{USERS} users: {}", parts.join(", ")))
    }

    /// Answers to all users.
    async fn users(&self) -> Result<Vec<Answer>> {
        let mut users = Vec::new();
        for user in 1..=USERS {
            users.push(self.ask(&[("x-user-id", &user.to_string())]).await?);
        }
        Ok(users)
    }

    /// Sends one request. An error status is an answer too: the cluster may not exist.
    async fn ask(&self, headers: &[(&str, &str)]) -> Result<Answer> {
        let response = self.client.get_with(PATH, headers).await?;
        let text = response.text().trim().to_owned();
        let status = response.status;
        let fault = (status != 200).then(|| format!("HTTP {status}"));
        let header = self.response_header.as_deref();
        Ok(Answer {
            line: match &fault {
                Some(fault) => format!("{fault} {text}").trim().to_owned(),
                None => text,
            },
            assignment: header
                .and_then(|name| response.header(name))
                .map(str::to_owned),
            fault,
        })
    }

    fn step(&self, title: &str, headers: &[(&str, &str)], answer: &Answer) -> Step {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!(" -H '{name}: {value}'"))
            .collect();
        Step {
            title: match &answer.assignment {
                Some(assignment) => format!("{title}: {assignment}"),
                None => title.to_owned(),
            },
            command: format!("curl{headers} {}{PATH}", self.edge),
            answer: vec![answer.line.clone()],
            fault: answer.fault.clone(),
        }
    }

    async fn metrics(&self, envoy: &Envoy) -> Result<Step> {
        let path = "/stats/prometheus?usedonly&filter=divvy_requests";
        let text = envoy.get_admin(path).await?;
        let counters = text.lines().filter(|line| line.starts_with("divvy_"));
        let mut answer: Vec<_> = counters.map(str::to_owned).collect();
        // Not a fault: the configuration may be about other paths or have no rollouts.
        if answer.is_empty() {
            answer.push(format!("(none: no rollout matches GET {PATH})"));
        }
        Ok(Step {
            title: "divvy's counters so far".to_owned(),
            command: format!("curl -s '{}{path}'", envoy.admin()),
            fault: None,
            answer,
        })
    }
}

/// Counts of equal answers in the format of `sort | uniq -c`.
fn tally(answers: &[Answer]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.line.as_str()).or_insert(0_u32) += 1;
    }
    counts
        .iter()
        .map(|(line, count)| format!("{count:>7} {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str, assignment: Option<&str>) -> Answer {
        Answer {
            line: line.to_owned(),
            assignment: assignment.map(str::to_owned),
            fault: None,
        }
    }

    fn tour(configuration: &str) -> Tour {
        Tour::new(([127, 0, 0, 1], 10000).into(), configuration)
    }

    #[test]
    fn a_step_has_a_command_and_the_decision() {
        let tour = tour(r#"{"responseHeader": "x-v"}"#);
        let step = tour.step("a", &[("x-user-id", "1")], &answer("shop", Some("c=v1")));
        assert_eq!(step.title, "a: c=v1");
        assert_eq!(
            step.command,
            "curl -H 'x-user-id: 1' 127.0.0.1:10000/checkout"
        );
        assert_eq!(step.answer, ["shop"]);
    }

    #[test]
    fn without_a_response_header_a_step_has_no_decision() {
        for configuration in ["{}", "{\"responseHeader\": 1}", "["] {
            let step = tour(configuration).step("a", &[], &answer("shop", None));
            assert_eq!(step.title, "a");
        }
    }

    #[test]
    fn a_tally_has_the_format_of_uniq() {
        let answers = [answer("b", None), answer("a", None), answer("b", Some("x"))];
        assert_eq!(tally(&answers), ["      1 a", "      2 b"]);
    }
}
