//! Whatever the emitter is told, in whatever order, what it writes is valid.

use proptest::prelude::*;

use super::*;

#[path = "../../../tests/it/checker.rs"]
mod checker;

use checker::{End, check};

#[derive(Debug, Clone)]
enum Told {
    Start,
    Text(&'static str),
    Reasoning(&'static str),
    ToolStart(usize),
    ToolArguments(usize),
    Finish(bool),
    End,
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        Just(Told::Start),
        prop::sample::select(vec!["", "a", "\"\n🙂"]).prop_map(Told::Text),
        prop::sample::select(vec!["", "b"]).prop_map(Told::Reasoning),
        (0..3usize).prop_map(Told::ToolStart),
        (0..3usize).prop_map(Told::ToolArguments),
        any::<bool>().prop_map(Told::Finish),
        Just(Told::End),
    ]
}

fn tell(emitter: &mut ChunkEmitter, told: &Told) {
    let usage = Some(Usage {
        input: Some(1),
        ..Usage::default()
    });
    emitter.emit(match told {
        Told::Start => Delta::Start { id: "i" },
        Told::Text(text) => Delta::Text(text),
        Told::Reasoning(text) => Delta::Reasoning(text),
        Told::ToolStart(call) => Delta::ToolStart {
            call: *call,
            id: "c",
            name: "f",
            signature: None,
        },
        Told::ToolArguments(call) => Delta::ToolArguments {
            call: *call,
            json: "{}",
        },
        Told::Finish(true) => Delta::Finish(Finish::ToolCalls),
        Told::Finish(false) => Delta::Finish(Finish::Other("odd".to_owned())),
        Told::End => Delta::End { usage },
    });
}

proptest! {
    #[test]
    fn no_order_of_deltas_makes_an_invalid_stream(
        deltas in prop::collection::vec(told(), 0..20),
        wants_usage in any::<bool>(),
    ) {
        let mut emitter = ChunkEmitter::new("m", 1, wants_usage);
        deltas.iter().for_each(|told| tell(&mut emitter, told));
        let mut out = Vec::new();
        emitter.take(&mut out);
        let ended = deltas.iter().any(|told| matches!(told, Told::End));
        prop_assert_eq!(check(&out.concat()), Ok(if ended { End::Done } else { End::Open }));
    }
}
