//! What every backend keeps: checks written once against [`harness::Harness`] and run against each ledger.

mod bounds;
mod changing;
mod completing;
mod harness;
mod leases;
mod refusing;
mod reserving;
mod restraining;
mod storms;
mod templates;

use crate::support::place::tests;

/// Runs the checks of one caller after the other against a ledger.
macro_rules! conformance {
    ($ledger:ident = $start:path, $seconds:path, #[$attribute:meta]) => {
        tests! { $ledger = $start, $seconds, #[$attribute] {
            reserving:
                a_grant_takes_its_amount_of_every_key,
                a_denied_request_changes_no_balance,
                a_denied_attempt_is_not_remembered,
                a_key_named_twice_is_added_up,
                the_largest_numbers_neither_overflow_nor_pass,
                what_is_above_the_capacity_never_fits,
                the_same_request_again_is_the_same_grant_counted_once,
                the_same_request_again_is_granted_though_nothing_is_free,
                a_lease_id_in_use_for_something_else_is_an_invalid_request,
                a_completed_lease_is_finished,
                an_expired_lease_is_finished;
            refusing:
                the_first_reason_wins_wherever_its_key_stands,
                among_keys_with_one_reason_the_first_in_the_request_is_named,
                a_decreasing_key_is_retried_after_the_configured_time,
                every_failing_key_is_listed_in_order_with_what_it_has,
                hints_grow_where_waits_are_not_known,
                a_retry_is_granted_exactly_when_promised,
                the_promise_counts_only_as_many_holds_as_the_amount_needs,
                a_bucket_promises_the_millisecond_in_which_the_last_unit_is_whole,
                a_retry_over_many_keys_is_granted_after_the_longest_wait,
                a_rolling_window_slides,
                a_bucket_refills_continuously_up_to_its_capacity,
                peeking_answers_as_reserving_would_and_charges_nothing,
                a_peek_of_nothing_asks_about_the_key_alone,
                a_refusal_counts_at_the_limits_that_stopped_it;
            completing:
                concurrency_is_released_whatever_was_used,
                what_was_not_used_is_free_at_once,
                the_used_rest_keeps_its_expiry,
                a_call_that_never_ran_gives_everything_back,
                a_key_without_an_actual_keeps_what_it_reserved,
                actuals_of_one_key_are_added_up,
                a_key_that_is_not_held_changes_nothing,
                an_unknown_lease_and_one_that_is_over_are_no_error,
                use_beyond_the_reservation_is_reserved_where_it_fits,
                overage_that_is_denied_is_only_counted,
                overage_as_debt_is_only_booked,
                a_rolling_limit_repays_its_debt_from_what_frees_first,
                a_bucket_repays_its_debt_before_its_level_rises,
                what_another_lease_gives_back_pays_the_debt_first;
            leases:
                a_hold_that_is_never_completed_frees_at_its_timeout,
                a_slot_that_expired_is_not_released_a_second_time,
                renewing_extends_concurrency_from_now,
                renewing_never_shortens_and_never_passes_the_limits_own_timeout,
                a_renewed_lease_is_released_by_its_completion,
                what_is_over_cannot_be_renewed,
                a_lease_shows_what_it_holds_and_for_whom,
                a_lease_over_a_deleted_limit_completes,
                a_limit_defined_anew_knows_nothing_of_the_deleted_one,
                leases_that_are_over_are_forgotten_in_the_end;
            changing:
                a_raise_works_at_once,
                a_raised_bucket_fills_up_to_its_new_capacity,
                a_decrease_that_fits_is_applied_at_once,
                nothing_is_admitted_until_a_decrease_is_applied,
                a_decrease_is_applied_when_enough_has_expired,
                a_reservation_finds_a_decrease_that_is_due,
                a_second_decrease_replaces_the_target,
                a_raise_ends_a_decrease,
                the_same_version_again_changes_nothing,
                an_older_version_is_superseded,
                a_new_window_concerns_later_reservations,
                a_shadow_limit_decides_and_counts_and_never_denies,
                a_shadow_limit_is_charged_only_with_the_others,
                turning_shadow_off_enforces_what_is_taken,
                policies_can_change_while_debt_is_owed,
                a_raise_pays_debt_at_once,
                the_observer_hears_of_watched_limits_that_free;
            restraining:
                a_paused_limit_admits_nothing_until_exactly_the_end,
                a_later_end_prolongs_a_pause_and_an_earlier_one_changes_nothing,
                a_pause_ranks_after_a_decrease_and_before_a_denial,
                the_first_paused_key_is_named_and_the_longest_wait_counts,
                a_full_key_that_is_paused_is_retried_when_it_fits,
                a_refusal_by_a_pause_charges_nothing_and_is_counted,
                leases_go_on_while_their_limits_are_paused,
                a_peek_finds_the_pause_too,
                a_paused_shadow_limit_counts_and_never_denies,
                a_report_of_less_withholds_the_difference_until_its_end,
                a_report_that_does_not_tighten_changes_nothing,
                each_report_counts_until_its_own_end,
                a_retry_is_exact_with_what_is_withheld,
                what_frees_is_not_withheld,
                a_key_without_a_limit_has_nothing_to_restrain,
                an_instance_is_made_for_a_restraint_and_kept_until_its_end,
                a_restraint_outlives_every_change_of_the_definition,
                a_definition_says_whether_one_of_its_limits_is_paused;
            templates:
                each_value_has_a_limit_of_its_own,
                a_template_covers_whole_segments_only,
                an_exact_definition_beats_a_template_and_more_literals_beat_fewer,
                looking_makes_no_instance,
                a_change_of_the_template_reaches_live_instances,
                an_instance_follows_the_definition_that_is_best_now,
                a_definition_of_another_kind_starts_anew,
                a_deleted_template_takes_its_instances_along,
                idle_instances_are_dropped,
                an_instance_in_debt_or_watched_is_kept,
                limits_of_their_own_are_never_dropped,
                a_definition_counts_for_all_its_instances_also_those_that_are_gone,
                usages_come_in_pages_that_hold_every_limit_once;
        } }
    };
}

/// Runs the checks of many callers at once against a ledger, on real threads.
macro_rules! conformance_in_storms {
    ($ledger:ident = $start:path) => {
        tests! { $ledger = $start, crate::support::place::REAL, #[tokio::test(flavor = "multi_thread", worker_threads = 8)] {
            storms:
                ten_thousand_callers_take_exactly_what_a_rolling_limit_has,
                ten_thousand_callers_take_exactly_what_a_concurrency_limit_has,
                ten_thousand_callers_take_exactly_what_a_bucket_has,
                ten_thousand_callers_take_exactly_what_all_limits_have,
                one_lease_sent_by_all_is_granted_once,
                a_grant_is_given_back_or_given_out_again_and_never_both,
                a_storm_of_calls_leaves_nothing_held;
        } }
    };
}

conformance!(
    memory = crate::conformance::harness::memory, crate::support::place::VIRTUAL, #[tokio::test(start_paused = true)]
);
conformance_in_storms!(memory_on_threads = crate::conformance::harness::memory);

#[cfg(feature = "tigerbeetle")]
conformance!(
    tigerbeetle = crate::conformance::harness::tigerbeetle, crate::support::place::REAL,
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
);
#[cfg(feature = "tigerbeetle")]
conformance_in_storms!(tigerbeetle_on_threads = crate::conformance::harness::tigerbeetle);
