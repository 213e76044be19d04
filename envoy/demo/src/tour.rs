//! The commands to try, with what they answer. Nothing here is known beforehand: each is sent to
//! the running Envoy, so the answers are those of the configuration in force.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use divvy_lab::client::Http1;
use divvy_lab::envoy::Envoy;
use serde_json::Value;

const PATH: &str = "/checkout";
/// How many users the split is shown of.
const USERS: u32 = 100;

/// One command and what it answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What it shows.
    pub title: String,
    /// To be copied into a shell.
    pub command: String,
    /// What comes back.
    pub answer: Vec<String>,
    /// Why that is not what a demo should show.
    pub fault: Option<String>,
}

/// One answer of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    /// The line of the shop that served.
    line: String,
    /// What divvy told the client, if it tells.
    assignment: Option<String>,
    /// Why it is not what a demo should show.
    fault: Option<String>,
}

/// Asks the shop in the name of users.
pub struct Tour {
    client: Http1,
    edge: SocketAddr,
    response_header: Option<String>,
}

impl Tour {
    /// For the shop at `edge`, with this configuration (JSON) in force.
    pub fn new(edge: SocketAddr, configuration: &str) -> Tour {
        // An invalid configuration is not ours to judge: divvy serves stable then.
        let configuration: Value = serde_json::from_str(configuration).unwrap_or_default();
        Tour {
            client: Http1::new(edge),
            edge,
            response_header: configuration["responseHeader"].as_str().map(str::to_owned),
        }
    }

    /// The header in which divvy tells clients, if it does.
    pub fn response_header(&self) -> Option<&str> {
        self.response_header.as_deref()
    }

    /// All steps, each sent.
    pub async fn steps(&self, envoy: &Envoy) -> Result<Vec<Step>> {
        let users = self.users().await?;
        let first = &users[0];
        // Somebody who is served differently shows more than a neighbour.
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
            self.step("a tester, by a header", &[("x-canary", "true")], &tester),
            self.step("the first user, forging the route", &forged, &forger),
            Step {
                title: format!("{USERS} users: how they are split"),
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

    /// How `USERS` users are split, in one line.
    pub async fn split(&self) -> Result<String> {
        let tally = tally(&self.users().await?);
        let parts: Vec<_> = tally.iter().map(|line| line.trim()).collect();
        Ok(format!("{USERS} users: {}", parts.join(", ")))
    }

    /// What each user gets.
    async fn users(&self) -> Result<Vec<Answer>> {
        let mut users = Vec::new();
        for user in 1..=USERS {
            users.push(self.ask(&[("x-user-id", &user.to_string())]).await?);
        }
        Ok(users)
    }

    /// An answer without success is one too: the configuration may name a cluster that is not there.
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
        // No fault: a configuration may well be about other paths, or have no rollouts.
        if answer.is_empty() {
            answer.push(format!("(nothing: no rollout looks at GET {PATH})"));
        }
        Ok(Step {
            title: "what divvy counted so far".to_owned(),
            command: format!("curl -s '{}{path}'", envoy.admin()),
            fault: None,
            answer,
        })
    }
}

/// As `sort | uniq -c` prints it.
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
    fn a_step_can_be_copied_and_names_the_decision() {
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
    fn a_configuration_that_tells_clients_nothing_is_fine() {
        for configuration in ["{}", "{\"responseHeader\": 1}", "["] {
            let step = tour(configuration).step("a", &[], &answer("shop", None));
            assert_eq!(step.title, "a");
        }
    }

    #[test]
    fn a_tally_looks_like_uniq() {
        let answers = [answer("b", None), answer("a", None), answer("b", Some("x"))];
        assert_eq!(tally(&answers), ["      1 a", "      2 b"]);
    }
}
