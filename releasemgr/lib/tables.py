"""What every list of rows shares. The look is templates/components/table.html."""

from typing import Any, ClassVar

import django_tables2
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _


class Table(django_tables2.Table):  # type: ignore[misc] # the library is not typed
    """`caption` names the table for those who hear it.

    With a `region`, the id of the element that holds the table, sorting and paging swap just that.
    """

    caption: ClassVar[Any] = ""
    region: str = ""


class SelectColumn(django_tables2.Column):  # type: ignore[misc] # the library is not typed
    """A box for each row. The form around it (class `selectable`) sends the chosen values."""

    def __init__(self, **extra: Any) -> None:
        attrs = {"th": {"class": "w-min"}, "td": {"class": "box"}}
        super().__init__(orderable=False, exclude_from_export=True, attrs=attrs, **extra)

    @property
    def header(self) -> SafeString:
        return format_html(
            '<input class="form-check-input" type="checkbox" data-select-all aria-label="{}">',
            _("Select every row on this page"),
        )

    def render(self, value: object, bound_column: Any) -> SafeString:
        return format_html(
            '<input class="form-check-input" type="checkbox" name="{}" value="{}" data-select aria-label="{}">',
            bound_column.name,
            value,
            _("Select %(row)s") % {"row": value},
        )
