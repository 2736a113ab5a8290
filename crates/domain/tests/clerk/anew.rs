//! A sale that is described anew: `anew price seoul 150`.

use domain::Command;

use super::{Offer, Scene, Told, changed, spelled_out};

impl Scene {
    /// The sale as it is, but for one thing; what is refused is as if it had not been said.
    pub(super) fn describe_anew(&mut self, what: &[&str]) -> Option<Told> {
        let before = self.offer.clone();
        let performance = |offer: &mut Offer, name: &str| {
            offer.performances.iter().position(|(known, ..)| known == name)
        };
        match what {
            ["price", name, price] => {
                let at = performance(&mut self.offer, name)?;
                self.offer.performances[at].2 = price.parse().ok()?;
            }
            ["seats", name, seats @ ..] => {
                let at = performance(&mut self.offer, name)?;
                self.offer.performances[at].1 =
                    seats.iter().flat_map(|seats| spelled_out(seats)).collect();
            }
            ["limits", changes @ ..] => {
                self.offer.limits = changed(*self.sale.limits(), changes)?;
            }
            same => {
                self.describe(same)?.ok()?;
            }
        }
        let done = self.act(&Command::Change(Box::new(self.described())));
        if done.is_err() {
            self.offer = before;
        }
        Some(Ok(self.told(done, None)))
    }
}
