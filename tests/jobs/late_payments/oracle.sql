-- What the job must make, as plain statements over whole tables: every feature is asked of all pairs of invoices of an
-- account. Nothing is shared with the transforms. today and terms are variables of the session.

-- Of several rows of one id that of the earliest day counts, then the greatest.
create table sku as select item_id, max(cast(item_retail_price as decimal(18, 9))) as item_retail_price from skus group by all;

create table customer as select account_id, min(joining_date) as joining_date from accounts group by all;

create table single as
select * exclude (place) from (
    select *, row_number() over (partition by invoice_id order by
        issued_on, account_id desc nulls last, due_date desc nulls last, payment_date desc nulls last,
        status desc nulls last) as place
    from invoices)
where place = 1;

-- An invoice with an item that skus do not know has no total, and nothing by price.
create table priced as
select invoice_id, item_count, distinct_items, unknown_items,
       case when unknown_items = 0 then total end as total,
       case when unknown_items = 0 then pieces_below_10 end as pieces_below_10,
       case when unknown_items = 0 then pieces_10_to_100 end as pieces_10_to_100,
       case when unknown_items = 0 then pieces_from_100 end as pieces_from_100
from (
select invoice_id,
       round(sum(item_retail_price * cast(quantity as decimal(9, 0))), 2) as total,
       sum(quantity) as item_count,
       count(distinct item_id) as distinct_items,
       count(distinct item_id) filter (where item_retail_price is null) as unknown_items,
       coalesce(sum(quantity) filter (cast(item_retail_price as decimal(18, 9)) < 10), 0) as pieces_below_10,
       coalesce(sum(quantity) filter (cast(item_retail_price as decimal(18, 9)) >= 10
                                      and item_retail_price < 100), 0) as pieces_10_to_100,
       coalesce(sum(quantity) filter (cast(item_retail_price as decimal(18, 9)) >= 100), 0) as pieces_from_100
from invoice_line_items left join sku using (item_id)
group by invoice_id);

create table received as
select invoice_id, paid_on as day, amount_cents as cents from payments
union all
select invoice_id, issued_on, amount_cents from credit_notes;

create table book as
with days as (
        select invoice_id, issued_on as day from single
        union select invoice_id, payment_date from single where payment_date is not null
        union select invoice_id, day from received
     ),
     reached as (
        select s.invoice_id, min(d.day) as paid_on
        from single s left join priced p using (invoice_id) join days d using (invoice_id)
        where s.payment_date <= d.day
           or cast(p.total * 100 as bigint) <= (
                select coalesce(sum(r.cents), 0) from received r where r.invoice_id = s.invoice_id and r.day <= d.day)
        group by s.invoice_id
     )
select s.invoice_id, s.account_id, s.issued_on as issued,
       coalesce(s.due_date, s.issued_on + cast(getvariable('terms') as integer)) as due,
       p.* exclude (invoice_id),
       cast(p.total * 100 as bigint) as cents,
       case when reached.paid_on <= getvariable('today') then reached.paid_on end as paid,
       case when lower(trim(s.status)) in ('cancelled', 'void') then 'cancelled'
            when lower(trim(s.status)) = 'disputed' then 'disputed'
            when lower(trim(s.status)) = 'paid' and reached.paid_on is null then 'paid on an unknown day'
            else 'regular' end as class
from single s left join priced p using (invoice_id) left join reached using (invoice_id)
where s.issued_on <= getvariable('today');

-- What is open of an invoice when all receipts up to the end of a day are known.
create macro open_after(which, owed, closed_on, moment) as
    case when closed_on <= moment then 0
         else owed - (select coalesce(sum(r.cents), 0) from received r
                      where r.invoice_id = which and r.day <= moment) end;

create table pairs as
select i.invoice_id as later, i.issued as d, j.issued as issued, j.due as due, j.cents as cents,
       coalesce(j.paid < i.issued, false) as was_paid,
       coalesce(j.paid < i.issued, false) or (j.cents is not null and j.due < i.issued) as was_known,
       case when j.paid < i.issued then j.paid > j.due else j.due < i.issued end as was_late,
       case when j.paid < i.issued then greatest(j.paid - j.due, 0) else i.issued - j.due end as late_days,
       coalesce(open_after(j.invoice_id, j.cents, j.paid, i.issued - 1), 0) as open_cents
from book i join book j on i.account_id = j.account_id and j.issued < i.issued;

create table summed as
select later,
       count(*) filter (where issued between d - 120 and d - 1) as invoices_120d,
       count(*) filter (where was_known) as prior_known,
       count(*) filter (where was_known and was_late) as prior_late,
       avg(was_late::integer) filter (where was_known) as prior_late_rate,
       avg(late_days) filter (where was_known) as prior_mean_days_late,
       count(*) filter (where was_known and issued >= d - 90) as prior_known_90d,
       count(*) filter (where was_known and was_late and issued >= d - 90) as prior_late_90d,
       avg(was_late::integer) filter (where was_known and issued >= d - 90) as prior_late_rate_90d,
       avg(late_days) filter (where was_known and issued >= d - 90) as prior_mean_days_late_90d,
       count(*) filter (where was_known and issued >= d - 365) as prior_known_365d,
       count(*) filter (where was_known and was_late and issued >= d - 365) as prior_late_365d,
       avg(was_late::integer) filter (where was_known and issued >= d - 365) as prior_late_rate_365d,
       avg(late_days) filter (where was_known and issued >= d - 365) as prior_mean_days_late_365d,
       count(*) filter (where not was_paid and cents is not null) as open_invoices,
       sum(open_cents) as open_sum,
       count(*) filter (where not was_paid and cents is not null and due < d) as overdue_invoices,
       sum(open_cents) filter (where due < d) as overdue_sum,
       avg(cents) as mean_cents
from pairs
group by later;

create table judged as
select *, case when class <> 'regular' then null when paid <= due then 0
               when cents is null and paid is null then null  -- it may be paid, or not
               when due < getvariable('today') then 1 end as is_late
from book;

create table ranked as
select *, case when is_late = 0 or (is_late = 1 and cents is null) then paid when is_late = 1 then due + 1 end as outcome_on,
       row_number() over (partition by account_id order by issued, invoice_id) as invoices_to_date
from judged;

create table late_payment_features as
select i.invoice_id, i.account_id, strftime(i.issued, '%Y-%m') as issued_month, year(i.issued) as issued_year, i.issued as issued_on, i.due as due_on,
       i.total as invoice_total,
       coalesce(i.item_count, 0) as item_count, coalesce(i.distinct_items, 0) as distinct_items,
       coalesce(i.unknown_items, 0) as unknown_items,
       case when i.distinct_items is null then 0 else i.pieces_below_10 end as pieces_below_10,
       case when i.distinct_items is null then 0 else i.pieces_10_to_100 end as pieces_10_to_100,
       case when i.distinct_items is null then 0 else i.pieces_from_100 end as pieces_from_100,
       i.issued - a.joining_date as account_age_days,
       i.due - i.issued as days_until_due,
       isodow(i.issued) as day_of_week, last_day(i.issued) = i.issued as is_month_end,
       i.invoices_to_date,
       coalesce(p.invoices_120d, 0) as invoices_120d,
       coalesce(prior_known, 0) as prior_known, coalesce(prior_late, 0) as prior_late,
       prior_late_rate, prior_mean_days_late,
       coalesce(prior_known_90d, 0) as prior_known_90d, coalesce(prior_late_90d, 0) as prior_late_90d,
       prior_late_rate_90d, prior_mean_days_late_90d,
       coalesce(prior_known_365d, 0) as prior_known_365d, coalesce(prior_late_365d, 0) as prior_late_365d,
       prior_late_rate_365d, prior_mean_days_late_365d,
       coalesce(open_invoices, 0) as open_invoices, coalesce(overdue_invoices, 0) as overdue_invoices,
       cast(coalesce(open_sum, 0) as decimal(30, 2)) * 0.01 as open_total,
       cast(coalesce(overdue_sum, 0) as decimal(30, 2)) * 0.01 as overdue_total,
       case when mean_cents > 0 then i.cents / mean_cents end as total_to_mean,
       i.is_late, i.paid - i.issued as days_to_pay, i.class as invoice_class, i.paid as paid_on, i.outcome_on,
       case when i.is_late is null then null
            when i.issued >= date '2025-01-01' then 'validation'
            when i.outcome_on < date '2025-01-01' then 'train'
            else 'gap' end as split
from ranked i left join summed p on p.later = i.invoice_id left join customer a on a.account_id = i.account_id;

create table months as
select strftime(first, '%Y-%m') as month, least(last_day(first), getvariable('today')) as measured_on, first
from (select cast(range as date) as first from range(timestamp '2024-01-01', getvariable('today') + interval 1 day, interval 1 month));

create table owed as
select account_id, month, measured_on, class, measured_on - due as late, issued >= first as is_new,
       case when class = 'paid on an unknown day' then 0
            else open_after(invoice_id, cents, paid, measured_on) end as left_cents,
       issued >= first and cents is null as is_unknown,
       issued >= first and class = 'paid on an unknown day' as is_paid_some_day,
       case when issued >= first then cents else 0 end as sold_cents
from book join months on issued <= measured_on
where class <> 'cancelled';

create table ageing as
select account_id, month, measured_on,
       coalesce(sum(left_cents) filter (where class <> 'disputed' and late <= 0), 0) as current_cents,
       coalesce(sum(left_cents) filter (where class <> 'disputed' and late between 1 and 30), 0) as days_1_30_cents,
       coalesce(sum(left_cents) filter (where class <> 'disputed' and late between 31 and 60), 0) as days_31_60_cents,
       coalesce(sum(left_cents) filter (where class <> 'disputed' and late between 61 and 90), 0) as days_61_90_cents,
       coalesce(sum(left_cents) filter (where class <> 'disputed' and late > 90), 0) as days_over_90_cents,
       coalesce(sum(left_cents) filter (where class = 'disputed'), 0) as disputed_cents,
       coalesce(sum(left_cents), 0) as open_cents,
       coalesce(sum(sold_cents), 0) as sales_cents,
       count(*) filter (where is_unknown) as unknown_total_invoices,
       count(*) filter (where is_paid_some_day) as paid_some_day_invoices
from owed
group by account_id, month, measured_on
having bool_or(is_new) or coalesce(sum(left_cents), 0) > 0;

create table sums as
select month, day(max(measured_on)) as days, sum(sales_cents) as sales_cents, sum(open_cents) as open_cents,
       sum(current_cents) as current_cents, sum(unknown_total_invoices) as unknown_total_invoices,
       sum(paid_some_day_invoices) as paid_some_day_invoices
from ageing
group by month;

create table dso as
select *, case when sales_cents > 0 then open_cents / sales_cents * days end as dso_days,
       case when sales_cents > 0 then current_cents / sales_cents * days end as best_possible_days,
       case when sales_cents > 0 then open_cents / sales_cents * days - current_cents / sales_cents * days end
           as average_days_delinquent
from sums;
