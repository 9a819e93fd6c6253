-- The interface layer: what people query.
create view best_days as
select day, orders, revenue_cents / 100 as revenue from daily_sales order by revenue_cents desc limit 10;
