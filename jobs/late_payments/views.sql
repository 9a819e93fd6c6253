-- How often and how late each account pays, over all invoices whose outcome is known.
create view late_rates as
select account_id, count(*) as invoices, sum(is_late) as late, sum(is_late) / count(*) as late_rate,
       avg(days_to_pay) as mean_days_to_pay
from late_payment_features
where is_late is not null
group by account_id;

-- What all accounts owe at the end of each month, by how long it is overdue; amounts in whole units.
create view ageing_by_month as
select month, max(measured_on) as measured_on, sum(current_cents) / 100 as not_due, sum(days_1_30_cents) / 100 as days_1_30,
       sum(days_31_60_cents) / 100 as days_31_60, sum(days_61_90_cents) / 100 as days_61_90,
       sum(days_over_90_cents) / 100 as days_over_90, sum(disputed_cents) / 100 as disputed
from ageing
group by month
order by month;
