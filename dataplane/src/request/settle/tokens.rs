//! What a request used, from what the provider said and what was seen. Pure.

use turnpike_protocol::Usage;

use crate::access_log::Tokens;

/// All that is known at a request's end.
pub(super) struct Known {
    pub usage: Option<Usage>,
    /// The answer came to its end, so that the provider's figures are final.
    pub is_whole: bool,
    /// The operation generates something that is counted.
    pub makes_output: bool,
    /// From the prompt's bytes.
    pub input_estimate: u64,
    /// From the bytes of content that came.
    pub output_estimate: u64,
}

/// Counts tokens: the provider's figures go first; estimates fill what it left out.
///
/// A figure for the output that came before the answer's end may be the start of a count, so of it
/// and the estimate the larger one holds.
pub(super) fn count(known: Known) -> Tokens {
    let usage = known.usage.unwrap_or_default();
    let needs_output = known.makes_output;
    let output = match usage.output {
        Some(output) if known.is_whole => output,
        Some(output) => output.max(known.output_estimate),
        None if needs_output => known.output_estimate,
        None => 0,
    };
    let is_said = usage.input.is_some() && (usage.output.is_some() || !needs_output);
    Tokens {
        input: usage.input.unwrap_or(known.input_estimate),
        cached: usage.cached_input,
        output,
        reasoning: usage.reasoning,
        audio_input: usage.audio_input,
        audio_output: usage.audio_output,
        estimated: !(is_said && known.is_whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: Option<u64>, output: Option<u64>) -> Option<Usage> {
        Some(Usage {
            input,
            output,
            ..Usage::default()
        })
    }

    /// Gives (input, output, estimated) where 100 and 50 are the estimates.
    fn counted(usage: Option<Usage>, is_whole: bool, makes_output: bool) -> (u64, u64, bool) {
        let tokens = count(Known {
            usage,
            is_whole,
            makes_output,
            input_estimate: 100,
            output_estimate: 50,
        });
        (tokens.input, tokens.output, tokens.estimated)
    }

    #[test]
    fn the_providers_figures_hold_once_the_answer_is_whole() {
        assert_eq!(counted(said(Some(7), Some(3)), true, true), (7, 3, false));
        assert_eq!(counted(said(Some(7), Some(0)), true, true), (7, 0, false));
        assert_eq!(counted(said(Some(7), None), true, false), (7, 0, false));
    }

    #[test]
    fn what_the_provider_left_out_is_estimated_and_marked() {
        assert_eq!(counted(None, true, true), (100, 50, true));
        assert_eq!(counted(None, true, false), (100, 0, true));
        assert_eq!(counted(said(None, Some(3)), true, true), (100, 3, true));
        assert_eq!(counted(said(Some(7), None), true, true), (7, 50, true));
    }

    #[test]
    fn a_figure_of_a_cut_answer_is_a_lower_bound() {
        assert_eq!(counted(said(Some(7), Some(1)), false, true), (7, 50, true));
        assert_eq!(counted(said(Some(7), Some(90)), false, true), (7, 90, true));
    }
}
