//! Which runs belong together.
//!
//! Owns: [`Session`]: all rounds of one comparison, carried out in one go.
//! Never: drops a run: one that came too early or too often begins a session of its own.
//! Invariants: a session has at most one run per side and round; sessions and runs stay in the order of the file.
//! Source: performance.md section 5.

#[cfg(test)]
mod tests;

use super::{Place, RunReport};
use crate::compare::{Standing, judge};
use crate::scenario::Side;

/// The rounds of one comparison.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) scenario: &'a str,
    pub(super) place: &'a Place,
    pub(super) runs: Vec<(&'a Place, &'a RunReport)>,
}

/// One side of a session.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) side: &'a Side,
    pub(super) runs: Vec<&'a RunReport>,
}

/// Gathers runs that know their place.
pub(super) fn gather(runs: &[RunReport]) -> Vec<Session<'_>> {
    let mut sessions: Vec<Session<'_>> = Vec::new();
    for run in runs {
        let Some(place) = &run.place else { continue };
        let scenario = run.scenario.as_deref().unwrap_or_default();
        // Only the last of its kind is open: a comparison is carried out to its end before it is repeated.
        let open = sessions
            .iter_mut()
            .rfind(|session| session.is_alike(scenario, place, run));
        match open.filter(|session| session.has_room(place)) {
            Some(session) => session.runs.push((place, run)),
            None => sessions.push(Session {
                scenario,
                place,
                runs: vec![(place, run)],
            }),
        }
    }
    sessions
}

impl<'a> Session<'a> {
    fn is_alike(&self, scenario: &str, place: &Place, run: &RunReport) -> bool {
        let same = |other: &RunReport| {
            other.is_smoke == run.is_smoke
                && other.environment.commit == run.environment.commit
                && other.environment.is_dirty == run.environment.is_dirty
        };
        self.scenario == scenario
            && self.place.comparison == place.comparison
            && self.runs.first().is_some_and(|(_, first)| same(first))
    }

    fn has_room(&self, place: &Place) -> bool {
        let is_later = |(taken, _): &(&Place, &RunReport)| {
            (taken.round, taken.side) < (place.round, place.side)
        };
        self.runs.iter().all(is_later)
    }

    /// Ours first, then the others in the order of the comparison.
    pub(super) fn subjects(&self) -> Vec<Subject<'a>> {
        let comparison = &self.place.comparison;
        let sides = std::iter::once(&comparison.us).chain(&comparison.them);
        (0..)
            .zip(sides)
            .map(|(number, side)| Subject {
                side,
                runs: self
                    .runs
                    .iter()
                    .filter(|(place, _)| place.side == number)
                    .map(|(_, run)| *run)
                    .collect(),
            })
            .collect()
    }

    /// How it stands, over the rounds that all sides carried out; `None` if there is no such round.
    pub(super) fn standing(&self) -> Option<Standing> {
        let last = self.runs.iter().map(|(place, _)| place.round).max()?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=last {
            if let (Some(us), Some(them)) = (self.ours(round), self.theirs(round)) {
                ours.push(us);
                theirs.push(them);
            }
        }
        judge(&ours, &theirs, self.place.comparison.reach).ok()
    }

    fn ours(&self, round: usize) -> Option<f64> {
        self.figure_of(0, &self.place.comparison.us, round)
    }

    /// Their figures added up; 1 if ours stands alone.
    fn theirs(&self, round: usize) -> Option<f64> {
        let them = &self.place.comparison.them;
        if them.is_empty() {
            return Some(1.0);
        }
        let sides = (1..).zip(them);
        sides
            .map(|(number, side)| self.figure_of(number, side, round))
            .sum()
    }

    fn figure_of(&self, number: usize, side: &Side, round: usize) -> Option<f64> {
        let (_, run) = self
            .runs
            .iter()
            .find(|(place, _)| place.side == number && place.round == round)?;
        run.figure(&side.figure)
    }
}
