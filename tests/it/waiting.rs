//! Waiting for capacity: acquire through a running tollgate.

mod crashing;
mod leaving;
mod line;
mod many_keys;
mod order;
mod pausing;
mod storm;
mod waking;

use crate::support::place::tests_at_each_place;

tests_at_each_place! {{
    waking:
        a_completion_wakes_at_once,
        what_a_completion_gives_back_wakes_at_once,
        a_dropped_lease_wakes_at_once,
        an_expiry_wakes_at_its_instant,
        a_refill_wakes_in_the_millisecond_in_which_it_can_pay,
        a_refill_wakes_only_those_it_can_pay_for,
        a_raise_wakes_at_once,
        the_end_of_a_decrease_wakes_at_once,
        a_decrease_is_driven_by_expiry_alone,
        the_end_of_a_decrease_by_expiry_wakes_at_its_instant,
        a_target_below_the_amount_ends_the_wait,
        deleting_a_limit_answers_its_waiters,
        deleting_a_limit_answers_those_who_wait_for_another_key_too,
        a_template_takes_over_from_a_deleted_definition_and_wakes,
        a_free_limit_keeps_nobody_waiting;
    order:
        first_come_first_served,
        higher_priorities_go_first,
        a_higher_priority_that_fits_goes_at_once_past_a_lower_one_that_does_not,
        no_priority_is_starved,
        tenants_take_turns,
        weights_deal_the_turns,
        a_plain_reserve_does_not_pass_those_who_wait,
        a_lease_that_is_held_is_answered_though_others_wait,
        small_calls_do_not_pass_a_big_one;
    leaving:
        a_full_line_refuses_at_once,
        a_wait_that_is_known_to_be_too_long_is_refused_at_once,
        a_wait_of_exactly_the_known_time_is_long_enough,
        a_deadline_tells_how_things_stand_then,
        a_wait_that_a_completion_may_shorten_is_not_known,
        a_wait_of_zero_is_a_plain_reserve,
        a_deadline_ends_the_wait_and_leaves_nothing,
        who_leaves_the_front_lets_the_next_one_try,
        a_cancelled_caller_leaves_nothing_wherever_it_is_dropped,
        a_grant_that_nobody_takes_goes_to_the_next,
        shutting_down_answers_everybody_who_waits;
    many_keys:
        a_caller_waits_until_all_of_its_keys_are_free,
        a_caller_moves_to_the_line_of_the_key_that_stops_it_and_keeps_its_place,
        callers_who_cross_do_not_block_each_other;
    pausing:
        the_end_of_a_pause_wakes_exactly_then,
        a_pause_that_is_prolonged_keeps_everybody_waiting,
        a_pause_that_begins_in_front_of_a_line_is_kept,
        a_pause_that_lasts_longer_than_the_wait_is_refused_at_once,
        a_wait_that_ends_inside_a_pause_is_refused_with_what_is_left_of_it,
        the_end_of_withholding_wakes_exactly_then,
        what_completes_under_withholding_wakes_who_fits,
        nobody_passes_those_who_wait_for_the_end_of_a_pause,
        a_refusal_names_the_pause_and_also_the_line_of_another_key,
        a_call_over_many_keys_goes_through_once_none_is_paused,
        an_instance_paused_before_its_first_use_is_waited_for;
    crashing:
        a_killed_rate_limiter_loses_nobody,
        killing_every_actor_again_and_again_loses_nobody;
    storm:
        everybody_who_can_wait_is_served,
        deadlines_and_cancellations_leave_nothing_behind;
}}
