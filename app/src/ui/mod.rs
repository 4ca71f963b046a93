//! The components. The rule: they get values and give views; they know no noun's page and call no
//! server function. Each has its styles in `style/ui/` under its own name.
//!
//! | for | take |
//! |---|---|
//! | the page's frame | [`Frame`] (once, in `App`), [`PageHead`], [`Section`], [`NotFound`] |
//! | data from the server | [`Loaded`] (one resource), [`ListView`] (a table with count, pages and all its states) |
//! | tables | [`Table`], [`Row`], [`Cell`], [`RowLink`] |
//! | filters in the URL | [`url_filter`], [`FilterBar`], [`FilterSelect`], [`FilterText`] |
//! | facts | [`Facts`], [`Fact`], [`Status`], [`Time`], [`Id`], [`ShortId`], [`Code`], [`Secret`], [`Subject`], [`Cockpit`], [`Copied`], [`Meter`], [`Spent`] |
//! | actions | [`ActionsPanel`], [`Confirm`], [`ConfirmForm`], [`TypeName`], [`Outcome`], [`ActedView`], [`Dialog`] |
//! | forms | [`TextField`], [`SelectField`], [`TextArea`], [`CheckField`], [`ZoneField`], [`Submit`], [`FormFault`], [`fault_of`], [`FormReader`] |
//! | buttons | [`Submit`], [`LinkButton`], [`OpenDialog`] |
//! | messages | [`Notice`], [`EmptyState`], [`FaultView`], [`Failure`], [`RecoveryFields`] |
//! | what differs | [`DriftTable`], [`Observed`] |
//! | jobs | [`Timeline`], [`Progress`], [`JobCard`], [`Output`] |
//! | history | [`History`] |
//! | pictures | [`Bars`], [`Columns`], [`Icon`] |

mod actions;
mod bars;
mod behaviour;
mod button;
mod check;
mod confirm_form;
mod dialog;
mod drift;
mod fact;
mod failure;
mod field;
mod filter;
mod filter_text;
mod frame;
mod history;
mod icon;
mod job_card;
mod list_view;
mod loaded;
mod meter;
mod money;
mod notice;
mod output;
mod page_head;
mod read;
mod short_id;
mod status;
mod table;
mod time;
mod timeline;
mod zone_field;

pub use actions::{ActedView, ActionsPanel, Confirm, ConfirmChoice, Outcome, TypeName};
pub use bars::{BarPart, Bars, Columns};
pub use behaviour::close_around;
pub use button::{LinkButton, Submit};
pub use check::CheckField;
pub use confirm_form::ConfirmForm;
pub use dialog::{CloseDialog, Dialog, OpenDialog};
pub use drift::{DriftTable, Observed};
pub use fact::{Cockpit, Code, Copied, Fact, Facts, Id, Secret, Subject};
pub use failure::{Failure, RecoveryFields};
pub use field::{Choice, FormFault, SelectField, TextArea, TextField, Words, fault_of};
pub use filter::{FilterBar, FilterSelect, url_filter, word_choices};
pub use filter_text::FilterText;
pub use frame::{Frame, NotFound};
pub use history::History;
pub use icon::{Icon, Sign};
pub use job_card::JobCard;
pub use list_view::{ListView, Lists};
pub use loaded::Loaded;
pub use meter::Meter;
pub use money::{Spent, difference, money_hourly, money_monthly, spent_hourly, spent_monthly};
pub use notice::{EmptyState, FaultView, Notice};
pub use output::Output;
pub use page_head::{PageHead, Section};
pub use read::FormReader;
pub use short_id::ShortId;
pub use status::{Status, Tone, is_moving, tone};
pub use table::{Cell, Column, Row, RowLink, Table};
pub use time::{Time, exact, length};
pub use timeline::{Progress, Timeline};
pub use zone_field::{ZoneField, whole_name, zone_parts, zone_value, zone_values};
