//! Calls one after the other, for protocols in which one thing is whole before the next begins.

use std::collections::VecDeque;

use super::Delta;

/// What of later calls is kept at most. Beyond it their arguments are cut, which nobody takes for JSON.
const MAX_KEPT: usize = 16 << 20;

/// Puts deltas into an order in which nothing comes between a call's start and the last of its
/// arguments. The first call passes as it comes; those that begin before it is whole wait.
#[derive(Debug, Default)]
pub(crate) struct InOrder {
    /// The call that passes.
    open: Option<usize>,
    waiting: VecDeque<Call>,
    kept: usize,
    calls: usize,
}

#[derive(Debug)]
struct Call {
    number: usize,
    id: String,
    name: String,
    signature: Option<String>,
    arguments: String,
}

impl InOrder {
    /// Passes a delta on, after whatever has to come before it.
    pub(crate) fn pass(&mut self, delta: Delta<'_>, on: &mut dyn FnMut(Delta<'_>)) {
        match delta {
            Delta::ToolStart { call, .. } if call != self.calls => {}
            Delta::ToolStart {
                call,
                id,
                name,
                signature,
            } => {
                self.calls += 1;
                if self.open.is_none() {
                    self.open = Some(call);
                    return on(delta);
                }
                self.waiting.push_back(Call {
                    number: call,
                    id: id.to_owned(),
                    name: name.to_owned(),
                    signature: signature.map(str::to_owned),
                    arguments: String::new(),
                });
            }
            Delta::ToolArguments { call, .. } if self.open == Some(call) => on(delta),
            Delta::ToolArguments { call, json } => self.keep(call, json),
            Delta::Text("") | Delta::Refusal("") | Delta::Reasoning("") => {}
            Delta::Text(_)
            | Delta::Refusal(_)
            | Delta::Reasoning(_)
            | Delta::Thinking(_)
            | Delta::Image { .. }
            | Delta::End { .. } => {
                self.flush(on);
                on(delta);
            }
            other => on(other),
        }
    }

    fn keep(&mut self, number: usize, json: &str) {
        let waiting = self.waiting.iter_mut().find(|call| call.number == number);
        if let Some(call) = waiting
            && self.kept + json.len() <= MAX_KEPT
        {
            self.kept += json.len();
            call.arguments.push_str(json);
        }
    }

    fn flush(&mut self, on: &mut dyn FnMut(Delta<'_>)) {
        self.open = None;
        self.kept = 0;
        while let Some(call) = self.waiting.pop_front() {
            on(Delta::ToolStart {
                call: call.number,
                id: &call.id,
                name: &call.name,
                signature: call.signature.as_deref(),
            });
            on(Delta::ToolArguments {
                call: call.number,
                json: &call.arguments,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_follow_one_another() {
        let start = |call| Delta::ToolStart {
            call,
            id: "i",
            name: "f",
            signature: None,
        };
        let piece = |call, json| Delta::ToolArguments { call, json };
        let mut order = InOrder::default();
        let mut told = Vec::new();
        for delta in [
            start(0),
            start(1),
            piece(1, "1"),
            piece(0, "0"),
            start(3),
            piece(1, "1"),
            Delta::Text("t"),
            start(2),
            piece(2, "2"),
            Delta::End { usage: None },
        ] {
            order.pass(delta, &mut |delta| {
                told.push(match delta {
                    Delta::ToolStart { call, .. } => format!("<{call}"),
                    Delta::ToolArguments { call, json } => format!("{call}:{json}"),
                    Delta::Text(text) => text.to_owned(),
                    Delta::End { .. } => ".".to_owned(),
                    other => panic!("{other:?}"),
                });
            });
        }
        assert_eq!(told, ["<0", "0:0", "<1", "1:11", "t", "<2", "2:2", "."]);
    }
}
