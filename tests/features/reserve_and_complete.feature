Feature: Reserve before the call, complete after it
  A host reserves what a call may use on every limit at once, and corrects the books with what it really used.

  Background:
    Given a rolling limit "gpt:rpm" of 10 per 60 seconds
    And a rolling limit "gpt:tpm" of 1000 per 60 seconds
    And a concurrency limit "gpt:slots" of 2 with a timeout of 120 seconds

  Scenario: All that a call needs, or nothing
    When "first" reserves 1 of "gpt:rpm" and 900 of "gpt:tpm"
    And "second" reserves 1 of "gpt:rpm" and 200 of "gpt:tpm"
    Then "first" is granted
    And "second" is denied for 60000 ms by "gpt:tpm"
    And 9 of "gpt:rpm" are available

  Scenario: What a call did not use is free at once
    Given "first" has reserved 900 of "gpt:tpm"
    When "first" completes with 100 of "gpt:tpm"
    Then 900 of "gpt:tpm" are available

  Scenario: What was reserved frees one window later
    Given "first" has reserved 1000 of "gpt:tpm"
    When 60 seconds pass
    Then 1000 of "gpt:tpm" are available

  Scenario: A call that never completes does not hold its slot for ever
    Given "first" has reserved 2 of "gpt:slots"
    When 120 seconds pass
    Then 2 of "gpt:slots" are available

  Scenario: Dropping a lease releases concurrency and keeps the rest charged
    Given "first" has reserved 1 of "gpt:slots" and 400 of "gpt:tpm"
    When "first" is dropped
    Then 2 of "gpt:slots" are available
    And 600 of "gpt:tpm" are available

  Scenario: An amount above the capacity can never fit
    When "first" reserves 1 of "gpt:rpm" and 1001 of "gpt:tpm"
    Then "first" is refused with "never_fits:gpt:tpm"

  Scenario: A limit that nobody defined
    When "first" reserves 1 of "gpt:rpm" and 1 of "claude:rpm"
    Then "first" is refused with "unknown_limit_key:claude:rpm"
