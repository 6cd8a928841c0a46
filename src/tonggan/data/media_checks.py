"""What a scan of pictures and recordings shows of their range and length: what is cut off, scaled, or silent."""

from __future__ import annotations

from tonggan.data.findings import Finding
from tonggan.data.scan import MediaColumn, MediaStatus
from tonggan.modalities import AudioConfig, ColumnConfig, ImageConfig


def check_range(name: str, column: MediaColumn, *, config: ColumnConfig, split: str, is_train: bool) -> list[Finding]:
    """Notes on a scanned column, each with the setting that changes what is done."""
    findings = []
    if isinstance(config, AudioConfig):
        findings += _longer(name, column, config, split=split)
        if is_train and config.full_scale is not None:
            findings.append(_scaled(name, column, split, "full_scale", config.full_scale))
    if is_train and isinstance(config, ImageConfig) and config.white is not None:
        findings.append(_scaled(name, column, split, "white", config.white))
    if column.blank and isinstance(config, AudioConfig):
        findings.append(_silent(name, column, split))
    return findings


def _longer(name: str, column: MediaColumn, config: AudioConfig, *, split: str) -> list[Finding]:
    if column.lengths is None:
        return []
    count, present = int((column.lengths > config.build().max_samples).sum()), column.count(MediaStatus.PRESENT)
    if not count:
        return []
    setting = f"--set columns.{name}.max_seconds={3 * config.max_seconds:g}"
    return [
        Finding(
            "note",
            column=name,
            split=split,
            count=count,
            message=f"{count:,} of {present:,} recordings in '{name}' of {split} are longer than the "
            f"{config.max_seconds:g} s that are read; the rest of them is cut off.",
            message_zh=f"{split} 的“{name}”中 {present:,} 段录音有 {count:,} 段超过读取的 "
            f"{config.max_seconds:g} 秒；其余部分被截去。",
            remedy=f"Set how much is read, e.g. {setting}, or cut them to what matters",
            remedy_zh=f"请设置读取的时长，例如 {setting}，或只保留重要的部分",
        )
    ]


def _scaled(name: str, column: MediaColumn, split: str, field: str, value: float) -> Finding:
    pictures = field == "white"
    what = "Pictures of more than 8 bits" if pictures else "Recordings of floating point samples"
    what_zh = "超过 8 位的图片" if pictures else "浮点采样的录音"
    return Finding(
        "note",
        column=name,
        split=split,
        count=column.count(MediaStatus.PRESENT),
        message=f"{what} in '{name}' are read with {value:.10g} as {'white' if pictures else 'full scale'}, "
        "by the values that they hold.",
        message_zh=f"“{name}”中{what_zh}按其取值以 {value:.10g} 为{'白色' if pictures else '满幅'}读取。",
        remedy=f"Set another value where that is wrong, e.g. --set columns.{name}.{field}={65_535 if pictures else 1}",
        remedy_zh=f"如果不对，请设置别的值，例如 --set columns.{name}.{field}={65_535 if pictures else 1}",
    )


def _silent(name: str, column: MediaColumn, split: str) -> Finding:
    count = len(column.blank)
    return Finding(
        "note",
        column=name,
        split=split,
        count=count,
        message=f"{count:,} recordings in '{name}' of {split} hold silence alone.",
        message_zh=f"{split} 的“{name}”中有 {count:,} 段录音只有静音。",
        remedy="Listen to these files; leave their cells empty if they hold nothing",
        remedy_zh="请检查这些文件；如果其中没有内容，请将单元格留空",
    )
