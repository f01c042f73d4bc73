"""The checks in order of value: what is worth most comes first, should time run out."""

from benchmarks.gpu import correctness, first_numbers, processes, speed
from benchmarks.gpu.running import Check

CHECKS = (
    Check("machine", speed.machine, 20),
    Check("steps_match_float64", correctness.steps_match_float64, 60),
    Check("gan_speed", speed.gan_speed, 130),
    Check("steps_wait_for_nothing", correctness.a_step_waits_for_nothing, 20),
    Check("moco_speed", speed.moco_speed, 60),
    Check("negatives_contract", correctness.negatives_keep_their_contract, 20),
    Check("negatives_speed", speed.negatives_speed, 30),
    Check("evaluation_speed", speed.evaluation_speed, 45),
    Check("repeats_bit_for_bit", correctness.repeats_bit_for_bit, 25),
    Check("checkpoints_move", correctness.checkpoints_move, 25),
    Check("spectral_norms_together", correctness.spectral_norms_together, 15),
    Check("dpc_speed", speed.dpc_speed, 40),
    Check("gan_profile", speed.gan_profile, 20),
    Check("nan_is_found", correctness.nan_is_found, 15),
    Check("memory_stays_flat", processes.memory_stays_flat, 40),
    Check("groups_work", processes.groups_work, 60),
    Check("two_processes_share", processes.two_processes_share, 40),
    Check("copies_are_whole", processes.copies_are_whole, 20),
    Check("out_of_memory", processes.out_of_memory_is_one_line, 20, needs_card=True),
    Check("captured_matches_eager", correctness.captured_matches_eager, 40, needs_card=True),
    Check("gan_captured", speed.gan_captured, 40, needs_card=True),
    Check("compiled_matches_eager", correctness.compiled_matches_eager, 90, needs_card=True),
    Check("gan_compiled", speed.gan_compiled, 120, needs_card=True),
    Check("sanitizer", processes.sanitizer_finds_nothing, 60, needs_card=True),
    Check("gan_none", first_numbers.gan_none, 180),
    Check("gan_jigsaw", first_numbers.gan_jigsaw, 180),
    Check("moco_none", first_numbers.moco_none, 180),
)
