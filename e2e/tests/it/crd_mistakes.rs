//! Every mistake of the reference, written to a real API server: refused, in the words of the
//! reference.

use anyhow::{Result, ensure};
use turnpike_crds::mistakes::mistakes;
use turnpike_e2e::Scene;

#[test]
fn every_mistake_of_the_reference_is_refused_at_apply() -> Result<()> {
    Scene::run(async |scene| {
        let mut unlike = Vec::new();
        for mistake in mistakes()? {
            let said = scene.refusal(&mistake.object()?.to_string()).await?;
            if !said.contains(&mistake.at) || !said.contains(&mistake.says) {
                unlike.push(format!("{mistake:?}: {said}"));
            }
        }
        ensure!(unlike.is_empty(), "{}", unlike.join("\n"));
        Ok(())
    })
}
