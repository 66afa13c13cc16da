"""What a line of a log needs in a template."""

from django import template

from upgrades.log_lines import Line
from upgrades.views.log_blocks import Log

register = template.Library()


@register.filter
def is_error_of(line: Line, log: Log) -> bool:
    """Whether it is an error, also as the first error that the upgrade keeps."""
    return log.is_error(line)
