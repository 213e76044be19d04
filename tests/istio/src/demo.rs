//! `make run-istio`: the shop on a real Istio, to be tried with kubectl.

fn main() {}
